/**
 * The rows of a language policy. Row = one step: the context that the model answered and the answer. Where a context begins with
 * everything before it (the context and the answer of the row before), only what is new is kept and the two rows are one
 * sequence, computed once; rows of a sequence stay together in any minibatch.
 */
import { type RaggedColumn, type Rows, type RowsBuilder, rowsBuilder } from "../rows.ts";

/** An empty builder of such rows. */
export const answerRows = (): RowsBuilder =>
  rowsBuilder({ context: { type: "ragged" }, answer: { type: "ragged" }, continues: { type: "dense", width: 1 } });

/** The answers: that of row i is values[offsets[i] … offsets[i+1]). Throws TypeError for rows of another kind. */
export const answersOf = (rows: Rows): RaggedColumn => ragged(rows, "answer");

function ragged({ columns }: Rows, name: string): RaggedColumn {
  const column = columns[name];
  if (column?.type !== "ragged")
    throw new TypeError(`Expected the rows of a language policy, found columns ${Object.keys(columns).join(", ")}`);
  return column;
}

/** Whether row i goes on with the sequence of row i − 1. */
export function continues({ columns }: Rows): (row: number) => boolean {
  const { continues: flags } = columns;
  if (flags?.type !== "dense") throw new TypeError("Expected the rows of a language policy, found none of 'continues'");
  return (row) => flags.values[row] === 1;
}

/** How many tokens the model sees of row i that it has not seen in the row before. */
export function tokensOf(rows: Rows): (row: number) => number {
  const [{ offsets: contexts }, { offsets: answers }] = [ragged(rows, "context"), answersOf(rows)];
  return (row) => contexts[row + 1] - contexts[row] + answers[row + 1] - answers[row];
}

/** Sequences one after the other, without padding. */
export interface PackedAnswers {
  /** All tokens [N]. */
  tokens: Int32Array;
  /** Sequence s is tokens[offsets[s] … offsets[s+1]). */
  offsets: Uint32Array;
  /** Where in `tokens` each token of the answers is, row after row [n]. The model predicts it at the place before. */
  targets: Uint32Array;
}

/** Throws RangeError when the first row goes on with a sequence that is not here, or a sequence begins with an answer. */
export function packAnswers(rows: Rows): PackedAnswers {
  const [context, answer, goesOn] = [ragged(rows, "context"), answersOf(rows), continues(rows)];
  const tokens = new Int32Array(context.values.length + answer.values.length);
  const targets = new Uint32Array(answer.values.length);
  const offsets: number[] = [];
  let at = 0;
  let target = 0;
  for (let row = 0; row < rows.count; row++) {
    if (!goesOn(row)) offsets.push(at);
    else if (row === 0) throw new RangeError("Cannot pack rows that begin in the middle of a sequence");
    const start = at;
    for (let k = context.offsets[row]; k < context.offsets[row + 1]; k++) tokens[at++] = context.values[k];
    if (at === start && !goesOn(row)) throw new RangeError(`Cannot pack row ${row}: nothing comes before its answer`);
    for (let k = answer.offsets[row]; k < answer.offsets[row + 1]; k++) {
      targets[target++] = at;
      tokens[at++] = answer.values[k];
    }
  }
  offsets.push(at);
  return { tokens, offsets: Uint32Array.from(offsets), targets };
}
