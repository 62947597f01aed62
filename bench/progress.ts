/** Says on standard error how far a run is: on a terminal one line that is written over, otherwise only notes. */
export class Progress {
  #total = 0;
  #done = 0;
  #start = performance.now();

  /** How many steps there will be. */
  expect(total: number): void {
    this.#total = total;
  }

  /** Something that is to stay on the screen. */
  note(text: string): void {
    this.say("");
    process.stderr.write(`${text}\n`);
  }

  /** Says what is done now, without counting it. */
  say(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  }

  /** Says which of the steps begins, and how long the rest will take if they all take as long as those before. */
  step(text: string): void {
    if (this.#done === 0) this.#start = performance.now();
    const left = ((performance.now() - this.#start) / this.#done) * (this.#total - this.#done);
    const share = `${Math.floor((100 * this.#done) / this.#total)}`.padStart(3);
    this.say(`${share} %  ${text}${this.#done === 0 ? "" : `  (${Math.ceil(left / 1e3)} s left)`}`);
    this.#done++;
  }

  end(): void {
    this.say("");
  }
}
