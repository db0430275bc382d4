/** What each subject does. */

/** Tokens of a prompt. */
export const PROMPT = 128;
/** Sessions side by side, and the tokens that each generates. */
export const SESSIONS = [
  [1, 8],
  [8, 4],
] as const;
/** One sequence of an update, of which the last tokens are trained on. */
export const UPDATE = { tokens: 128, trained: 64 };
export const ADAPTER_RANK = 16;

export interface Result {
  name: string;
  /** Tokens a second of processor time, of all threads. Absent on a device, which does not generate. */
  prompt?: number;
  /** By the number of sessions. */
  generate: Record<number, number>;
  /** The second of two. */
  update: number;
  /** The most memory that was resident, mapped files included. */
  bytes: number;
  /** The same without mapped files, which the processes of a machine share. */
  ownBytes: number;
  adapterBytes: number;
}
