import type { DeviceArray, Operations } from "./tfjs.ts";

/**
 * A buffer on a device whose arrays never change: it holds the newest array, owns it, and frees the one before. A buffer of
 * zeros holds none. Parts share their whole: setting the whole sets its parts, and a whole whose parts were set is joined again.
 */
export class Slot {
  /** Elements. */
  length: number;
  /** null is zeros; undefined, in a part, is what the whole says. */
  private array: DeviceArray | null | undefined = null;
  private whole: Slot | undefined;
  private offset = 0;
  private readonly parts: Slot[] = [];
  /** A part was set since the whole was. */
  private isStale = false;

  constructor(length: number) {
    this.length = length;
  }

  /** Parts are made in order and leave no gap, so that joining them gives the whole. */
  part(offset: number, length: number): Slot {
    const end = this.parts.reduce((sum, part) => sum + part.length, 0);
    if (this.whole || offset !== end || offset + length > this.length)
      throw new RangeError(
        `Cannot take ${length} elements at ${offset} as the next part of a buffer of ${this.length}: the parts so far end at ${end}`,
      );
    const part = new Slot(length);
    part.array = undefined;
    part.whole = this;
    part.offset = offset;
    this.parts.push(part);
    return part;
  }

  /** In whichever shape it was set. */
  get(ops: Operations): DeviceArray | null {
    if (this.isStale) this.join(ops);
    if (this.array !== undefined) return this.array;
    const { array } = this.whole!;
    if (array === null || array === undefined) return null;
    const whole = ops.reshape(array, [this.whole!.length]);
    this.array = ops.tf.engine().keep(ops.slice(whole, [this.offset], [this.length]));
    return this.array;
  }

  private join(ops: Operations): void {
    const parts = this.parts
      .filter(({ length }) => length > 0)
      .map((part) => {
        const array = part.get(ops);
        return array === null ? ops.fill([part.length], 0) : ops.reshape(array, [part.length]);
      });
    this.replace(parts.length === 1 ? own(parts[0], ops) : ops.tf.engine().keep(ops.concat(parts, 0)));
    this.isStale = false;
  }

  set(array: DeviceArray | null, ops: Operations): void {
    const owned = array === null ? null : own(array, ops);
    if (this.whole) this.whole.isStale = true;
    this.isStale = false;
    for (const part of this.parts) part.replace(undefined);
    this.replace(owned);
  }

  /** Frees what it holds: zeros from now on. */
  clear(): void {
    this.isStale = false;
    for (const part of this.parts) part.replace(undefined);
    this.replace(null);
  }

  private replace(array: DeviceArray | null | undefined): void {
    this.array?.dispose();
    this.array = array;
  }
}

/** An array that nothing else owns: one that another slot holds is named a second time, which copies nothing. */
function own(array: DeviceArray, ops: Operations): DeviceArray {
  return ops.tf.engine().keep(array.kept ? ops.run("Identity", { x: array }) : array);
}
