import type { FrozenMatrix } from "../frozen.ts";
import { type AttentionShape, FIRST, type Handle, type Kernels, SECOND, type Span } from "../kernels.ts";
import { type Lazy, TfjsKernels } from "./kernels.ts";
import type { DeviceArray } from "./tfjs.ts";

/** Added to the score of a key that a query does not see. */
const UNSEEN = -1e30;
/** Logits that are made at a time. */
const MOST_LOGITS = 1 << 24;

/** The kernels of language models on TensorFlow.js: scores and logits are whole matrices, which a device has the memory for. */
export abstract class TfjsLanguageKernels extends TfjsKernels implements Kernels {
  /** Frozen matrices, on the device as float32 from their first use on. */
  private readonly frozen = new WeakMap<FrozenMatrix, DeviceArray>();

  private weight(w: Handle | FrozenMatrix, shape: readonly number[]): Lazy {
    return typeof w === "number" ? this.arg(w, shape) : () => this.onDevice(w);
  }

  /** Uploaded when a command needs it, one by one: all of a base's matrices staged together would lie in host memory three times. */
  private onDevice(w: FrozenMatrix): DeviceArray {
    let array = this.frozen.get(w);
    if (array === undefined) {
      const { tf } = this.ops;
      const values = new Float32Array(w.rows * w.width);
      w.copyTo(values, 0, w.rows);
      array = tf.engine().keep(tf.tensor(values, [w.rows, w.width], "float32"));
      this.frozen.set(w, array);
      this.queue.traffic.uploads++;
      this.queue.traffic.uploadedBytes += 4 * values.length;
    }
    return array;
  }

  private product(a: DeviceArray, b: DeviceArray, transposeA: boolean, transposeB: boolean): DeviceArray {
    return this.ops.run("BatchMatMul", { a, b }, { transposeA, transposeB });
  }

  project(x: Handle, w: Handle | FrozenMatrix, bias: Handle, out: Handle, m: number, k: number, n: number): void {
    const input = this.arg(x, [m, k]);
    const weight = this.weight(w, [n, k]);
    const row = bias === 0 ? undefined : this.arg(bias, [n]);
    this.emit(out, false, () => {
      const y = this.product(input(), weight(), false, true);
      return row ? this.ops.add(y, row()) : y;
    });
  }

  frozenGradient(dy: Handle, w: FrozenMatrix, dx: Handle, m: number, k: number, n: number, accumulate: boolean): void {
    const slope = this.arg(dy, [m, n]);
    const weight = this.weight(w, [n, k]);
    this.emit(dx, accumulate, () => this.product(slope(), weight(), false, false));
  }

  rmsNorm(
    x: Handle,
    gain: Handle,
    out: Handle,
    statistics: Handle,
    rows: number,
    width: number,
    epsilon: number,
  ): void {
    const { ops } = this;
    const input = this.arg(x, [rows, width]);
    const factor = this.arg(gain, [width]);
    this.emit(statistics, false, () => {
      const meanSquare = ops.mul(ops.sum(ops.square(input()), 1, true), 1 / width);
      return ops.div(1, ops.sqrt(ops.add(meanSquare, epsilon)));
    });
    const scale = this.arg(statistics, [rows, 1]);
    this.emit(out, false, () => ops.mul(ops.mul(input(), scale()), factor()));
  }

  rmsNormGradient(
    x: Handle,
    gain: Handle,
    statistics: Handle,
    dy: Handle,
    dx: Handle,
    dgain: Handle,
    rows: number,
    width: number,
    accumulate: number,
  ): void {
    const { ops } = this;
    if (rows === 0) {
      if (dgain !== 0) this.emitZeros(dgain, (accumulate & SECOND) !== 0);
      return;
    }
    const input = this.arg(x, [rows, width]);
    const scale = this.arg(statistics, [rows, 1]);
    const slope = this.arg(dy, [rows, width]);
    const factor = this.arg(gain, [width]);
    const normal = (): DeviceArray => ops.mul(input(), scale());
    if (dgain !== 0) this.emit(dgain, (accumulate & SECOND) !== 0, () => ops.sum(ops.mul(slope(), normal()), 0));
    if (dx === 0) return;
    this.emit(dx, (accumulate & FIRST) !== 0, () => {
      const g = ops.mul(slope(), factor());
      const unit = normal();
      const mean = ops.mul(ops.sum(ops.mul(g, unit), 1, true), 1 / width);
      return ops.mul(ops.sub(g, ops.mul(unit, mean)), scale());
    });
  }

  rotate(
    x: Handle,
    angles: Handle,
    out: Handle,
    rows: number,
    heads: number,
    width: number,
    inverse: boolean,
    accumulate: boolean,
  ): void {
    const { ops } = this;
    if (rows === 0) return;
    const half = width / 2;
    const input = this.arg(x, [rows, heads, width]);
    const turns = this.arg(angles, [rows, 1, width]);
    this.emit(out, accumulate, () => {
      const part = (array: DeviceArray, from: number, count: number): DeviceArray =>
        ops.slice(array, [0, 0, from], [rows, count, half]);
      const cosine = part(turns(), 0, 1);
      const sine = part(turns(), half, 1);
      const [first, second] = [part(input(), 0, heads), part(input(), half, heads)];
      const [up, down] = [ops.mul(first, sine), ops.mul(second, sine)];
      const [y, z] = [ops.mul(first, cosine), ops.mul(second, cosine)];
      return ops.concat(inverse ? [ops.add(y, down), ops.sub(z, up)] : [ops.sub(y, down), ops.add(z, up)], 2);
    });
  }

  /** Rows of a sequence by heads: [heads, rows, width]. */
  private byHeads(x: Lazy, at: number, rows: number, heads: number, width: number): DeviceArray {
    const part = this.ops.slice(x(), [at, 0], [rows, heads * width]);
    return this.ops.run("Transpose", { x: this.ops.reshape(part, [rows, heads, width]) }, { perm: [1, 0, 2] });
  }

  /** The other way round, among `total` rows of zeros. */
  private amongRows(
    x: DeviceArray,
    at: number,
    rows: number,
    heads: number,
    width: number,
    total: number,
  ): DeviceArray {
    const part = this.ops.run("Transpose", { x: this.ops.reshape(x, [heads, rows, width]) }, { perm: [1, 0, 2] });
    const flat = this.ops.reshape(part, [rows, heads * width]);
    if (rows === total) return flat;
    const paddings = [
      [at, total - at - rows],
      [0, 0],
    ];
    return this.ops.run("PadV2", { x: flat }, { paddings, constantValue: 0 });
  }

  /** What a sequence's queries, keys and values are, and the weights that they give; all queries of a key head are rows of one matrix. */
  private weighed(
    q: Handle,
    k: Handle,
    v: Handle,
    { queryAt, queries, keyAt, keys }: Span,
    { heads, keyHeads, width, window, scale }: AttentionShape,
  ) {
    const { ops } = this;
    const rows = this.slot(q).length / (heads * width);
    const keyRows = this.slot(k).length / (keyHeads * width);
    const shared = heads / keyHeads;
    const mask = this.queue.stage(maskOf(queries, keys, window));
    const [allQ, allK, allV] = [
      this.arg(q, [rows, heads * width]),
      this.arg(k, [keyRows, keyHeads * width]),
      this.arg(v, [keyRows, keyHeads * width]),
    ];
    const grouped = (x: Lazy): DeviceArray =>
      ops.reshape(this.byHeads(x, queryAt, queries, heads, width), [keyHeads, shared * queries, width]);
    return {
      rows,
      keyRows,
      grouped,
      of: () => {
        const query = grouped(allQ);
        const key = this.byHeads(allK, keyAt, keys, keyHeads, width);
        const value = this.byHeads(allV, keyAt, keys, keyHeads, width);
        const scores = ops.mul(this.product(query, key, false, true), scale);
        const unseen = ops.reshape(this.queue.staged(mask), [1, queries, keys]);
        const seen = ops.add(ops.reshape(scores, [heads, queries, keys]), unseen);
        const weights = ops.run("Softmax", { logits: ops.reshape(seen, [heads * queries, keys]) }, { dim: 1 });
        return { query, key, value, weights: ops.reshape(weights, [keyHeads, shared * queries, keys]) };
      },
    };
  }

  attention(
    q: Handle,
    k: Handle,
    v: Handle,
    out: Handle,
    _statistics: Handle,
    span: Span,
    shape: AttentionShape,
  ): void {
    const { queryAt, queries } = span;
    const { heads, width } = shape;
    const { rows, of } = this.weighed(q, k, v, span, shape);
    // The first sequence writes what the others add to.
    this.emit(out, queryAt > 0, () => {
      const { weights, value } = of();
      return this.amongRows(this.product(weights, value, false, false), queryAt, queries, heads, width, rows);
    });
  }

  attentionGradient(
    q: Handle,
    k: Handle,
    v: Handle,
    _out: Handle,
    _statistics: Handle,
    dout: Handle,
    dq: Handle,
    dk: Handle,
    dv: Handle,
    span: Span,
    shape: AttentionShape,
  ): void {
    const { ops } = this;
    const { queryAt, queries, keyAt, keys } = span;
    const { heads, keyHeads, width, scale } = shape;
    const { rows, keyRows, grouped, of } = this.weighed(q, k, v, span, shape);
    const slopes = this.arg(dout, [rows, heads * width]);
    const ofScores = () => {
      const { query, key, value, weights } = of();
      const dweights = this.product(grouped(slopes), value, false, true);
      const mean = ops.sum(ops.mul(dweights, weights), 2, true);
      return { query, key, dscores: ops.mul(ops.mul(weights, ops.sub(dweights, mean)), scale) };
    };
    if (dq !== 0) {
      this.emit(dq, true, () => {
        const { key, dscores } = ofScores();
        return this.amongRows(this.product(dscores, key, false, false), queryAt, queries, heads, width, rows);
      });
    }
    if (dk !== 0) {
      this.emit(dk, true, () => {
        const { query, dscores } = ofScores();
        return this.amongRows(this.product(dscores, query, true, false), keyAt, keys, keyHeads, width, keyRows);
      });
    }
    if (dv !== 0) {
      this.emit(dv, true, () => {
        const dvalue = this.product(of().weights, grouped(slopes), true, false);
        return this.amongRows(dvalue, keyAt, keys, keyHeads, width, keyRows);
      });
    }
  }

  /** Some rows at a time: log-probabilities of all words, and where each row's target is among them. */
  private blocks(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ) {
    const { ops } = this;
    const input = this.arg(x, [rows, width]);
    const words = this.weight(table, [vocabulary, width]);
    const { values } = this.list(targets);
    const most = Math.max(1, Math.floor(MOST_LOGITS / vocabulary));
    return Array.from({ length: Math.ceil(rows / most) }, (_, block) => {
      const from = block * most;
      const count = Math.min(most, rows - from);
      const places = Int32Array.from({ length: count }, (_, r) => r * vocabulary + values[from + r]);
      const staged = this.queue.stageIntegers(places);
      const part = (): DeviceArray => ops.slice(input(), [from, 0], [count, width]);
      return {
        from,
        count,
        part,
        words,
        places: () => this.queue.staged(staged),
        logP: () => {
          const logits = this.product(part(), words(), false, true);
          const shifted = ops.sub(logits, ops.run("Max", { x: logits }, { reductionIndices: [1], keepDims: true }));
          return ops.sub(shifted, ops.run("Log", { x: ops.sum(ops.exp(shifted), 1, true) }));
        },
      };
    });
  }

  tokenLogProbs(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    out: Handle,
    _statistics: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ): void {
    if (rows === 0) return;
    const { ops } = this;
    const blocks = this.blocks(x, table, targets, rows, width, vocabulary);
    this.emit(out, false, () => {
      const parts = blocks.map(({ count, places, logP }) => {
        const all = logP();
        const chosen = ops.gather(ops.reshape(all, [count * vocabulary]), places());
        const entropy = ops.mul(ops.sum(ops.mul(ops.exp(all), all), 1, true), -1);
        return ops.concat([ops.reshape(chosen, [count, 1]), entropy], 1);
      });
      return parts.length === 1 ? parts[0] : ops.concat(parts, 0);
    });
  }

  tokenLogProbsGradient(
    x: Handle,
    table: Handle | FrozenMatrix,
    targets: Handle,
    y: Handle,
    _statistics: Handle,
    dy: Handle,
    dx: Handle,
    dtable: Handle,
    rows: number,
    width: number,
    vocabulary: number,
  ): void {
    const { ops } = this;
    const [result, slope] = [this.arg(y, [rows, 2]), this.arg(dy, [rows, 2])];
    for (const block of rows === 0 ? [] : this.blocks(x, table, targets, rows, width, vocabulary)) {
      const { from, count, part, words, places, logP } = block;
      const column = (of: Lazy, at: number): DeviceArray => ops.slice(of(), [from, at], [count, 1]);
      const dlogits = (): DeviceArray => {
        const all = logP();
        const [ofLogProb, ofEntropy] = [column(slope, 0), column(slope, 1)];
        const each = ops.add(ofLogProb, ops.mul(ofEntropy, ops.add(all, column(result, 1))));
        const indices = ops.reshape(places(), [count, 1]);
        const updates = ops.reshape(ofLogProb, [count]);
        const atTargets = ops.run("ScatterNd", { indices, updates }, { shape: [count * vocabulary] });
        return ops.sub(ops.reshape(atTargets, [count, vocabulary]), ops.mul(ops.exp(all), each));
      };
      if (dx !== 0) {
        this.emit(dx, true, () => {
          const paddings = [
            [from, rows - from - count],
            [0, 0],
          ];
          const product = this.product(dlogits(), words(), false, false);
          return count === rows ? product : ops.run("PadV2", { x: product }, { paddings, constantValue: 0 });
        });
      }
      if (dtable !== 0) this.emit(dtable, true, () => this.product(dlogits(), part(), true, false));
    }
  }
}

/** [queries, keys]: 0 where a query sees a key. */
function maskOf(queries: number, keys: number, window: number): Float32Array {
  const mask = new Float32Array(queries * keys).fill(UNSEEN);
  for (let row = 0; row < queries; row++) {
    const end = keys - queries + row + 1;
    mask.fill(0, row * keys + (window > 0 ? Math.max(0, end - window) : 0), row * keys + end);
  }
  return mask;
}
