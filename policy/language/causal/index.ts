export { type Checkpoint, readCheckpoint, weightsOf, writeCheckpoint } from "./checkpoint.ts";
export {
  ARCHITECTURES,
  type Architecture,
  type CausalConfig,
  CheckpointError,
  type RopeScaling,
  readConfig,
  type SmallConfig,
  smallConfig,
} from "./config.ts";
export { type Generation, type GenerationRequest, Generator, type SamplingOptions, Session } from "./generate.ts";
export {
  adaptedWeights,
  BASE_FORMATS,
  type BaseFormat,
  type FrozenBase,
  frozenBase,
  type LoraOptions,
  mergeAdapters,
  PROJECTIONS,
  type Projection,
  readAdapters,
  writeAdapters,
} from "./lora.ts";
export { type CausalModel, causal, causalLayout, type PackedTokens } from "./model.ts";
export { type ChatMessage, checkTokenizer, readTokenizer, type Tokenizer, tokenizer } from "./tokenizer.ts";
export { type TrainedTokenizer, trainTokenizer, writeTokenizer } from "./train-tokenizer.ts";
