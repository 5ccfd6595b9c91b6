"""A small chat-and-image service with planted faults, instrumented with mamimon; `mamimon demo` runs it."""
