import type { Msg } from "@nats-io/nats-core";
import { createInbox } from "@nats-io/nats-core";
import type { Delivery, Puller, PullOptions } from "./bus.ts";
import { BusClosedError } from "./errors.ts";
import { NatsAcknowledgements } from "./nats-acknowledgements.ts";
import type { NatsLink } from "./nats-link.ts";
import { BrokerError, forbiddenSubject, isAway, NoAnswer, plainBytes } from "./nats-link.ts";
import { backoffMs, sleep } from "./timers.ts";

/** How long past its deadline a pull waits for the server's word that it is over, before it stops believing in the server. */
const GRACE_MS = 500;

const CONSUMER_NOT_FOUND = 10014;

/** Pull requests that may wait at one durable: one per actor that waits for work. */
const MAX_WAITING = 16_384;

/**
 * A shared durable pull consumer over NATS. Each `next` is one pull request (`no_wait` with `expires`: what is there, or
 * the first that comes), so a whole batch costs one round trip and nothing is delivered that was not asked for.
 */
export class NatsPuller implements Puller {
  readonly #link: NatsLink;
  readonly #options: PullOptions;
  readonly #own = new AbortController();
  readonly #inboxPrefix: string | undefined;
  readonly #acknowledgements: NatsAcknowledgements;
  /** Why the last pull ended, if neither with messages nor in time. */
  #problem: string | undefined;
  /** How often the connection had been lost when the durable was last known to be there. */
  #losses = 0;

  static async open(link: NatsLink, options: PullOptions, inboxPrefix?: string): Promise<NatsPuller> {
    const puller = new NatsPuller(link, options, inboxPrefix);
    if (options.restart) await puller.#forgetDurable();
    await link.repeat(`open durable '${options.durable}' of stream '${options.stream}'`, {}, (leftMs) =>
      puller.#ensureDurable(leftMs),
    );
    return puller;
  }

  private constructor(link: NatsLink, options: PullOptions, inboxPrefix: string | undefined) {
    this.#link = link;
    this.#losses = link.losses;
    this.#options = options;
    this.#inboxPrefix = inboxPrefix;
    this.#acknowledgements = new NatsAcknowledgements(link, options.durable);
  }

  /** A work queue keeps what was not acknowledged when its consumer goes: the next one is given all of it at once. */
  async #forgetDurable(): Promise<void> {
    const { stream, durable } = this.#options;
    await this.#link.repeat(`restart durable '${durable}' of stream '${stream}'`, {}, async (leftMs) => {
      try {
        await this.#link.api(`CONSUMER.DELETE.${stream}.${durable}`, {}, leftMs);
      } catch (error) {
        if (!(error instanceof BrokerError) || error.code !== CONSUMER_NOT_FOUND) throw error;
      }
    });
  }

  async next(max: number, timeoutMs: number, signal?: AbortSignal): Promise<Delivery[]> {
    const { stream, durable } = this.#options;
    if (this.#own.signal.aborted || this.#link.closed.aborted) throw new BusClosedError(`pull from '${stream}'`);
    if (max < 1) return [];
    const signals = [this.#own.signal, this.#link.closed];
    if (signal) signals.push(signal);
    const over = () => signals.some((one) => one.aborted);
    const deadline = performance.now() + timeoutMs;
    const leftMs = () => Math.max(0, deadline - performance.now());
    for (let failures = 0; !over(); failures++) {
      try {
        if (!(await this.#link.untilConnected(leftMs(), signal))) return [];
        const { losses } = this.#link;
        if (this.#problem !== undefined || this.#losses !== losses) {
          if (failures > 1) await sleep(Math.min(backoffMs(failures, 20, 1_000), leftMs()), signal);
          // It may be gone, with a store that was lost, and some servers do not answer a pull from what is not there.
          await this.#ensureDurable(this.#link.timeoutMs);
          this.#problem = undefined;
          this.#losses = losses;
        }
      } catch (error) {
        if (over()) return [];
        if (error instanceof BrokerError) {
          throw new Error(
            `Cannot pull from durable '${durable}' of stream '${stream}' (${this.#problem ?? "the connection was lost"}), and it cannot be created again: ${error.message}`,
            { cause: error },
          );
        }
        if (!isAway(error)) throw error;
        if (leftMs() === 0) return [];
        continue;
      }
      if (over()) break;
      const batch = await this.#pull(max, leftMs(), signals);
      if (batch.length > 0 || this.#problem === undefined || leftMs() === 0) return batch;
    }
    return [];
  }

  async close(): Promise<void> {
    this.#own.abort();
  }

  /** One pull request. */
  #pull(max: number, timeoutMs: number, signals: AbortSignal[]): Promise<Delivery[]> {
    const { connection } = this.#link;
    const { stream, durable } = this.#options;
    return new Promise((resolve) => {
      const batch: Delivery[] = [];
      let open = true;
      const finish = (problem?: string, late = false) => {
        if (!open) return;
        open = false;
        clearTimeout(timer);
        stopListening();
        for (const signal of signals) signal.removeEventListener("abort", aborted);
        // A request given up may still be answered: what arrives before the server knows is handed back at once.
        if (late && !connection.isClosed()) subscription.drain().catch(() => undefined);
        else subscription.unsubscribe();
        this.#problem = problem;
        resolve(batch);
      };
      const aborted = () => finish(undefined, true);
      const subscription = connection.subscribe(createInbox(this.#inboxPrefix), {
        callback: (error, message) => {
          if (error) return finish(error.message);
          if (message.reply === "") return finish(problemIn(message));
          const delivery = new NatsDelivery(this.#link, this.#acknowledgements, message);
          if (!open) return delivery.nak();
          batch.push(delivery);
          if (batch.length === max) finish();
        },
      });
      const timer = setTimeout(() => finish("the server did not answer", true), timeoutMs + GRACE_MS);
      const stopListening = this.#link.onStatus((status) => {
        if (status.type === "disconnected") finish("disconnected");
      });
      for (const signal of signals) signal.addEventListener("abort", aborted);
      const expires = timeoutMs > 0 ? { expires: Math.ceil(timeoutMs) * 1_000_000 } : {};
      try {
        connection.publish(
          `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`,
          JSON.stringify({ batch: max, no_wait: true, ...expires }),
          { reply: subscription.getSubject() },
        );
      } catch (error) {
        finish(String(error));
      }
    });
  }

  async #ensureDurable(timeoutMs: number): Promise<void> {
    const { stream, durable, subject, ackWaitMs, maxAckPending, keep } = this.#options;
    const config = {
      durable_name: durable,
      filter_subject: subject,
      ack_policy: "explicit",
      ack_wait: ackWaitMs * 1_000_000,
      deliver_policy: "all",
      max_ack_pending: maxAckPending,
      max_waiting: MAX_WAITING,
      replay_policy: "instant",
    };
    if (keep && (await this.#isThere(timeoutMs))) return;
    try {
      await this.#link.api(`CONSUMER.DURABLE.CREATE.${stream}.${durable}`, { stream_name: stream, config }, timeoutMs);
    } catch (error) {
      if (forbiddenSubject(error) === undefined) throw error;
      if (await this.#isThere(timeoutMs)) return; // who may not create it uses the one there is
      throw new NoAnswer("timeout"); // and waits for the one who may
    }
  }

  async #isThere(timeoutMs: number): Promise<boolean> {
    const { stream, durable } = this.#options;
    try {
      await this.#link.api(`CONSUMER.INFO.${stream}.${durable}`, {}, timeoutMs);
      return true;
    } catch (error) {
      if (error instanceof BrokerError && error.code === CONSUMER_NOT_FOUND) return false;
      throw error;
    }
  }
}

/** A message without a reply subject is the server's word about the pull request itself. */
function problemIn(message: Msg): string | undefined {
  const code = message.headers?.code ?? 0;
  if (code === 404 || code === 408) return undefined; // nothing there, or no more: the ordinary end
  return `${code} ${message.headers?.description ?? ""}`.trim();
}

class NatsDelivery implements Delivery {
  readonly #link: NatsLink;
  readonly #acknowledgements: NatsAcknowledgements;
  readonly #message: Msg;
  /** How often the connection had been lost when this was delivered. */
  readonly #losses: number;
  readonly sequence: number;
  readonly deliveries: number;

  constructor(link: NatsLink, acknowledgements: NatsAcknowledgements, message: Msg) {
    this.#link = link;
    this.#acknowledgements = acknowledgements;
    this.#message = message;
    this.#losses = link.losses;
    // $JS.ACK.[domain.account.]stream.durable.deliveries.sequence.…; the bracketed two came with later servers
    const tokens = (message.reply ?? "").split(".");
    const first = tokens.length === 9 ? 4 : 6;
    this.deliveries = Number(tokens[first]);
    this.sequence = Number(tokens[first + 1]);
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return plainBytes(this.#message.data);
  }

  get headers(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const [key, values] of this.#message.headers ?? []) if (!key.startsWith("Nats-")) found[key] = values[0];
    return found;
  }

  ack(): Promise<void> {
    return this.#acknowledgements.add(this.#message.reply as string, this.#losses);
  }

  nak(delayMs = 0): void {
    this.#tell(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: Math.round(delayMs) * 1_000_000 })}` : "-NAK");
  }

  working(): void {
    this.#tell("+WPI");
  }

  /** Lost while disconnected, which is harmless: the acknowledgement deadline then runs on. */
  #tell(what: string): void {
    if (!this.#link.connection.isClosed()) this.#link.connection.publish(this.#message.reply as string, what);
  }
}
