// Passkeys: the buttons of the sign-in page and of one's own account.
(() => {
  "use strict";
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  async function ask(path, body) {
    const answer = await fetch(path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error || answer.statusText);
    return said;
  }

  async function add(name) {
    const options = await ask("/account/passkeys/options");
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    for (const one of options.excludeCredentials || []) one.id = bytes(one.id);
    const made = await navigator.credentials.create({ publicKey: options });
    const response = { clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject) };
    await ask("/account/passkeys/add", { name, credential: { id: made.id, rawId: text(made.rawId), type: made.type, response } });
    location.assign("/account");
  }

  async function signIn(next) {
    const options = await ask("/login/passkey");
    options.challenge = bytes(options.challenge);
    const made = await navigator.credentials.get({ publicKey: options });
    const from = made.response;
    const response = { clientDataJSON: text(from.clientDataJSON), authenticatorData: text(from.authenticatorData), signature: text(from.signature), userHandle: from.userHandle && text(from.userHandle) };
    const said = await ask("/login/passkey", { next, credential: { id: made.id, rawId: text(made.rawId), type: made.type, response } });
    location.assign(said.next);
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const note = form.querySelector("[role=alert]");
      note.textContent = "";
      try {
        await (form.dataset.passkey === "add" ? add(form.elements.name.value) : signIn(form.elements.next.value));
      } catch (error) {
        // Closing the browser's own dialog is no error to report.
        note.textContent = error.name === "NotAllowedError" ? "" : error.message;
      }
    });
  }
})();
