/** Says on standard error how far a run is: one line that is written over on a terminal, otherwise nothing. */
export class Progress {
  #done = 0;
  readonly #start = performance.now();

  constructor(private readonly total: number) {}

  /** Says what is done now, without counting it. */
  say(text: string): void {
    if (!process.stderr.isTTY) return;
    process.stderr.write(`\r\x1b[K${text}`);
  }

  /** Says which of the steps begins, and how long the rest will take if they all take as long as those before. */
  step(text: string): void {
    const elapsed = performance.now() - this.#start;
    const rest = this.#done === 0 ? null : (elapsed / this.#done) * (this.total - this.#done);
    const share = `${Math.floor((100 * this.#done) / this.total)}`.padStart(3);
    this.say(`${share} %  ${text}${rest === null ? "" : `  (${Math.ceil(rest / 1e3)} s left)`}`);
    this.#done++;
  }

  end(): void {
    this.say("");
  }
}
