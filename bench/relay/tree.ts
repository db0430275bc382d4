/** A tree of relays between one learner and its subscribers, and how long a version takes through it where links are the bottleneck. */

export interface Tree {
  /** Nodes on each level below the learner, subscribers last: [32, 1000]. */
  levels: readonly number[];
  relays: number;
}

/** No node sends to more than `fanOut` others; levels are as even as they can be. */
export function tree(subscribers: number, fanOut: number): Tree {
  if (!(fanOut >= 2)) throw new RangeError(`A tree needs a fan-out of at least 2, found ${fanOut}`);
  const levels = [subscribers];
  while (levels[0]! > fanOut) levels.unshift(Math.ceil(levels[0]! / fanOut));
  return { levels, relays: levels.slice(0, -1).reduce((a, b) => a + b, 0) };
}

export interface Network {
  /** Of a version. */
  bytes: number;
  /** Of every machine's link, each way. */
  linkBytesPerSecond: number;
  latencySeconds: number;
  /** At which a node hashes and frames what it has received, before it passes it on. */
  handleBytesPerSecond: number;
}

/**
 * Seconds until the last subscriber holds a version: each node receives it whole, verifies it, then sends it to all its children at
 * once, which share its link. Every node is a machine of its own.
 */
export function broadcastSeconds({ levels }: Tree, network: Network): number {
  const { bytes, linkBytesPerSecond, latencySeconds, handleBytesPerSecond } = network;
  let seconds = 0;
  let senders = 1;
  for (const receivers of levels) {
    const children = Math.ceil(receivers / senders);
    seconds += latencySeconds + (children * bytes) / linkBytesPerSecond + bytes / handleBytesPerSecond;
    senders = receivers;
  }
  return seconds;
}
