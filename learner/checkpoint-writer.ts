/** Checkpoints in the background, one at a time; only once one is on disk are the messages in it acknowledged. */
import type { Delivery } from "../proto/bus/bus.ts";
import type { Checkpoint, CheckpointStore } from "./checkpoint.ts";

export class CheckpointWriter {
  readonly #store: CheckpointStore;
  readonly #take: () => Promise<Checkpoint>;
  #writing: Promise<string | undefined> = Promise.resolve(undefined);
  #unacknowledged: Delivery[] = [];

  /** @param take the state as it is when this is called; what is on a device may come later */
  constructor(store: CheckpointStore, take: () => Promise<Checkpoint>) {
    this.#store = store;
    this.#take = take;
  }

  /** Messages that the next checkpoint contains. */
  hold(deliveries: readonly Delivery[]): void {
    this.#unacknowledged.push(...deliveries);
  }

  /**
   * Takes a checkpoint once the one before it is on disk, and resolves when it is taken; it is written in the background. A
   * failure to write surfaces at the next call.
   */
  async begin(): Promise<void> {
    let before: Promise<unknown>;
    do {
      before = this.#writing;
      await before;
    } while (before !== this.#writing);
    const taken = Promise.withResolvers<void>();
    this.#writing = this.#write(taken.resolve);
    this.#writing.catch(taken.reject); // else awaited, and thrown, by whoever comes next
    await taken.promise;
  }

  /** Its path once it is on disk, of the newest; undefined when there is none. */
  written(): Promise<string | undefined> {
    return this.#writing;
  }

  /** Writes what is in no checkpoint yet. */
  async end(): Promise<void> {
    if (this.#unacknowledged.length) await this.begin();
    await this.#writing;
  }

  async #write(onTaken: () => void): Promise<string> {
    const state = this.#take();
    const deliveries = this.#unacknowledged;
    this.#unacknowledged = [];
    onTaken();
    const path = await this.#store.write(await state);
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
    return path;
  }
}
