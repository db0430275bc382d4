import type { NatsLink } from "./nats-link.ts";
import { NoAnswer } from "./nats-link.ts";

/** How long an acknowledgement waits for a broker that may have forgotten the delivery. */
const FORGOTTEN_MS = 2_000;

interface Batch {
  /** Where the acknowledgement of each message goes. */
  replies: string[];
  sent: Promise<void>;
}

/**
 * Acknowledgements of one durable. Those given in the same turn of the event loop go together: the server takes them in the order
 * in which they come, so its word on the last one stands for all, and nothing waits for a hundred answers.
 */
export class NatsAcknowledgements {
  readonly #link: NatsLink;
  readonly #durable: string;
  /** By how often the connection had been lost when the messages were delivered. */
  readonly #open = new Map<number, Batch>();

  constructor(link: NatsLink, durable: string) {
    this.#link = link;
    this.#durable = durable;
  }

  /** Resolves once the server has confirmed. */
  add(reply: string, losses: number): Promise<void> {
    let batch = this.#open.get(losses);
    if (batch === undefined) {
      const replies: string[] = [];
      batch = { replies, sent: Promise.resolve().then(() => this.#send(replies, losses)) };
      this.#open.set(losses, batch);
    }
    batch.replies.push(reply);
    return batch.sent;
  }

  async #send(replies: readonly string[], losses: number): Promise<void> {
    this.#open.delete(losses);
    const what = `acknowledge ${replies.length === 1 ? "a message" : `${replies.length} messages`} of durable '${this.#durable}'`;
    await this.#link.repeat(what, {}, async (leftMs) => {
      // A broker that was killed since may have forgotten these deliveries, and then does not answer.
      const mayBeForgotten = this.#link.losses !== losses;
      const timeoutMs = mayBeForgotten ? Math.min(leftMs, FORGOTTEN_MS) : leftMs;
      const { connection } = this.#link;
      if (!connection.isClosed()) for (const reply of replies.slice(0, -1)) connection.publish(reply, "+ACK");
      try {
        await this.#link.call(replies.at(-1)!, "+ACK", { timeoutMs, repeatable: true });
      } catch (error) {
        if (!mayBeForgotten || !(error instanceof NoAnswer) || error.why === "disconnected") throw error;
      }
    });
  }
}
