/** Something that turns bytes of others into values. */
export interface Target {
  name: string;
  /** Good inputs to start from. */
  seeds: Uint8Array[];
  decode(bytes: Uint8Array): unknown;
  /** Its way to say no; any other error is an accident. */
  refuses(error: unknown): boolean;
  /** Share of the inputs. */
  weight: number;
  /** Longest that an input may take. Default 50 ms. */
  limitMs?: number;
}

/** Errors that people read, as opposed to accidents: those speak of undefined and of functions, or overflow the stack. */
export const isDeliberate = (error: unknown) =>
  error instanceof Error &&
  !/undefined is not|not a function|Maximum call stack|Cannot read prop|is not an object|null is not|out of memory/i.test(
    error.message,
  );
