/**
 * How a sandbox is spoken to: frames of a length (uint32, little-endian) and as many bytes of JSON. Typed arrays travel as base64
 * of their bytes, so that every float arrives bit by bit, and numbers that JSON lacks by their name.
 */
export interface Frames {
  encode(message: unknown): Uint8Array;
  /** Takes bytes as they come and gives the messages that are whole. Throws on a frame above `maxBytes` or one that is not JSON. */
  decoder(maxBytes: number): (chunk: Uint8Array) => unknown[];
}

/** Self-contained, because its text is also part of the program that runs in the sandbox. */
export function frames(): Frames {
  const toText = (array: Float32Array | Uint8Array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
  };
  const toBytes = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const pack = (_key: string, value: unknown) => {
    if (value instanceof Float32Array) return { $float32: toText(value) };
    if (value instanceof Uint8Array) return { $uint8: toText(value) };
    if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0)))
      return { $number: Object.is(value, -0) ? "-0" : String(value) };
    return value;
  };
  const unpack = (_key: string, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    const { $float32, $uint8, $number } = value as Record<string, unknown>;
    if (typeof $float32 === "string") return new Float32Array(toBytes($float32).buffer);
    if (typeof $uint8 === "string") return toBytes($uint8);
    if (typeof $number === "string") return Number($number);
    return value;
  };
  return {
    encode(message) {
      const body = new TextEncoder().encode(JSON.stringify(message, pack));
      const frame = new Uint8Array(4 + body.length);
      new DataView(frame.buffer).setUint32(0, body.length, true);
      frame.set(body, 4);
      return frame;
    },
    decoder(maxBytes) {
      const text = new TextDecoder("utf-8", { fatal: true });
      let chunks: Uint8Array[] = [];
      let held = 0;
      return (chunk) => {
        chunks.push(chunk);
        held += chunk.length;
        const messages: unknown[] = [];
        // Joined only when the frame that the first bytes announce is there, so that a long one is copied once.
        for (;;) {
          if (held < 4) return messages;
          if (chunks[0]!.length < 4) chunks = [joined(chunks, held)];
          const first = chunks[0]!;
          const length = new DataView(first.buffer, first.byteOffset).getUint32(0, true);
          if (length > maxBytes) throw new RangeError(`a message of ${length} bytes, at most ${maxBytes} are taken`);
          if (held < 4 + length) return messages;
          const all = joined(chunks, held);
          messages.push(JSON.parse(text.decode(all.subarray(4, 4 + length)), unpack));
          chunks = [all.subarray(4 + length)];
          held -= 4 + length;
        }
      };
    },
  };

  function joined(chunks: Uint8Array[], length: number): Uint8Array {
    if (chunks.length === 1) return chunks[0]!;
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}
