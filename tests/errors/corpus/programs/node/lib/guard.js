// What must hold.
"use strict";

class InvariantError extends Error {
  constructor(message) { super(message); this.name = "InvariantError"; }
}

function invariant(holds, message) {
  if (!holds) throw new InvariantError(message);
}

function must(value, name) {
  invariant(value !== undefined, `${name} is missing`);
  return value;
}

module.exports = { invariant, must, InvariantError };
