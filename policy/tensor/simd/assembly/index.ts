export { adam, sumOfSquares } from "./adam";
export { attention, attentionGradient } from "./attention";
export { project, projectPanel } from "./dots";
export { accumulate, binary, binaryGradient, fill, unary, unaryGradient } from "./elementwise";
export { panelGradient, unpack } from "./frozen";
export { linear, linearGradient } from "./linear";
export { matmul } from "./matmul";
export {
  copyColumns,
  expand,
  layerNorm,
  layerNormGradient,
  segmentLogSoftmax,
  segmentLogSoftmaxGradient,
  segmentSum,
  softmax,
  softmaxGradient,
  spreadRows,
  sumRows,
} from "./rows";
export { bagScatterAdd, bagSum, gather, scatterAdd } from "./tables";
export { rmsNorm, rmsNormGradient, rotate } from "./transformer";
export { vocabularyGradient, vocabularyResult, vocabularySums } from "./vocabulary";

/** The first byte of memory that is free. */
export function heapBase(): usize {
  return __heap_base;
}
