/** What a strict client found broken: each kind of finding once, with how often it was seen. */
export class Findings {
  readonly #seen = new Map<string, { first: string; times: number }>();

  /** Notes a broken rule. `what` says it in words; `detail`, the figures, may differ from one time to the next. */
  report(rule: string, where: string, what: string, detail = ""): void {
    const key = `[${rule}] ${where}: ${what}`;
    const known = this.#seen.get(key);
    if (known === undefined) this.#seen.set(key, { first: detail, times: 1 });
    else known.times += 1;
  }

  /** Runs a check that throws where its input is malformed; null there. */
  attempt<Value>(rule: string, where: string, check: () => Value): Value | null {
    try {
      return check();
    } catch (error) {
      this.report(rule, where, "malformed", error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  /** One line for each kind of finding, with the first one's figures. */
  get lines(): string[] {
    return [...this.#seen].map(([key, { first, times }]) => `${key}${first === "" ? "" : ` (${first})`}${times > 1 ? ` ×${times}` : ""}`);
  }
}
