// Reads server-sent events from a byte stream, as the WHATWG HTML standard describes the format
// (section 9.2.6). Own code because EventSource cannot send an Authorization header. No network
// and no DOM here: bytes in, frames out.

/** Longer than any alert; a stream that sends more without a line end is broken. */
const FRAME_CHARS_MAX = 4_000_000;

export class SseParser {
  #decoder = new TextDecoder();
  #rest = "";
  #data = [];
  #data_chars = 0;
  #event = "";
  #started = false;
  /** The id to resume from, as the last frame that carried one said. */
  last_id = "";
  /** The server's wish for the pause before a reconnect, or null. */
  retry_ms = null;

  /** Frames that `bytes` completes: `[{event, data, id}]`. Throws when a frame passes its limit. */
  push(bytes) {
    let text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    if (!this.#started && text.length) {
      this.#started = true;
      text = text.replace(/^\uFEFF/, "");
    }
    const frames = [];
    let from = 0;
    for (;;) {
      const end = line_end(text, from);
      if (end === null) break;
      const frame = this.#line(text.slice(from, end.at));
      if (frame) frames.push(frame);
      from = end.next;
    }
    this.#rest = text.slice(from);
    if (this.#rest.length + this.#data_chars > FRAME_CHARS_MAX) throw new Error("a stream frame is too long");
    return frames;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#data_chars += value.length;
    } else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.last_id = value;
    else if (field === "retry" && /^\d{1,6}$/.test(value)) this.retry_ms = Number(value);
    return null;
  }

  #dispatch() {
    const frame = this.#data.length
      ? { event: this.#event || "message", data: this.#data.join("\n"), id: this.last_id }
      : null;
    this.#data = [];
    this.#data_chars = 0;
    this.#event = "";
    return frame;
  }
}

// A line ends at LF, CR or CRLF; a CR that is the last character so far may be half of a CRLF.
function line_end(text, from) {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 10) return { at, next: at + 1 };
    if (code === 13) {
      if (at + 1 === text.length) return null;
      return { at, next: text.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 };
    }
  }
  return null;
}
