/**
 * One thing the doctor looks at. A topic is a list of checks (topics.ts); each says what it found, what it expected and, where that
 * is not the same, what to do.
 */
export interface Check {
  /** A few words: what is looked at. */
  name: string;
  run(signal: AbortSignal): Finding | Promise<Finding>;
}

export interface Finding {
  ok: boolean;
  found: string;
  expected: string;
  /** What to do; left out where all is well. */
  fix?: string;
}

export type CheckResult = Finding & { name: string };

/** A check that has not ended by then has found something, too. */
const CHECK_TIMEOUT_MS = 15_000;

/** All at once; the results in order. What throws or hangs is a finding. */
export function runChecks(checks: readonly Check[]): Promise<CheckResult[]> {
  return Promise.all(
    checks.map(async ({ name, run }) => {
      const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
      const late = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error(`no answer within ${CHECK_TIMEOUT_MS / 1000} s`)));
      });
      const findings = (async () => run(signal))();
      try {
        return { name, ...(await Promise.race([findings, late])) };
      } catch (error) {
        return { name, ok: false, found: (error as Error).message, expected: "an answer" };
      }
    }),
  );
}

/** One line for what is well, three for what is not. */
export function renderResult({ name, ok, found, expected, fix }: CheckResult): string {
  if (ok) return `ok    ${name}: ${found}`;
  return [`FAIL  ${name}: ${found}`, `      expected: ${expected}`, ...(fix ? [`      try: ${fix}`] : [])].join("\n");
}
