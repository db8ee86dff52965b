// Asks the same again and again, one question at a time, and not while nobody looks.

export class Poll {
  #work;
  #every_ms;
  #timer = null;
  #wanted = false;

  /** `work()` asks and shows; what goes wrong is its own affair. `signal`, if any, ends it for good. */
  constructor(work, every_ms, signal) {
    this.#work = work;
    this.#every_ms = every_ms;
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.#wanted) this.now(); }, { signal });
    signal?.addEventListener("abort", () => this.stop());
  }

  /** Asks now, and from now on until `stop`. */
  async now() {
    this.#wanted = true;
    clearTimeout(this.#timer);
    if (document.hidden) return;
    await this.#work();
    clearTimeout(this.#timer);
    if (this.#wanted) this.#timer = setTimeout(() => this.now(), this.#every_ms);
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
  }
}
