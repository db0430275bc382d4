/** For policies of one's own: `import type { PolicyDefinition } from "proxima/policy"`. */
export { wordHash, wordsOf } from "./phrase.ts";
export type { EpisodeEncoder, Policy, PolicyDefinition, PolicyOutput, PolicySpec } from "./policy.ts";
export {
  type Column,
  type ColumnTypes,
  type DenseColumn,
  type NestedColumn,
  type RaggedColumn,
  type Rows,
  type RowsBuilder,
  rowsBuilder,
  type SharedColumn,
} from "./rows.ts";
export type { ParameterSpec, Tensor, Tensors } from "./tensor/tensors.ts";
