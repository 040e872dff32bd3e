/** When each frame of a published stream was handed to the socket, ms of `performance.now()`. Frames count from 0 over all rounds of the recording. */
export class FrameClock {
  readonly #sentAt: number[] = [];
  readonly #waiting = new Map<number, PromiseWithResolvers<number>>();
  readonly #lost = Promise.withResolvers<never>();

  constructor() {
    this.#lost.promise.catch(() => undefined);
  }

  /** Resolves when the frame has been sent. Rejects when the encoder is lost. */
  sent(frame: number): Promise<number> {
    const at = this.#sentAt[frame];
    if (at !== undefined) return Promise.resolve(at);
    const waiting = this.#waiting.get(frame) ?? Promise.withResolvers<number>();
    this.#waiting.set(frame, waiting);
    return Promise.race([waiting.promise, this.#lost.promise]);
  }

  /** The moment of a frame that has been sent. Throws for one that has not. */
  sentAt(frame: number): number {
    const at = this.#sentAt[frame];
    if (at === undefined) throw new Error(`frame ${frame} was found before it was sent`);
    return at;
  }

  /** The next frame was sent. */
  note(at: number): void {
    const frame = this.#sentAt.push(at) - 1;
    this.#waiting.get(frame)?.resolve(at);
    this.#waiting.delete(frame);
  }

  /** Nothing more is sent. */
  lose(reason: string): void {
    this.#lost.reject(new Error(reason));
  }
}
