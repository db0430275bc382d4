/** Calls at most every three seconds, for progress that people read; calls in between are dropped. */
export function everyFewSeconds<A extends unknown[]>(call: (...args: A) => void): (...args: A) => void {
  let last = performance.now();
  return (...args) => {
    if (performance.now() - last < 3000) return;
    last = performance.now();
    call(...args);
  };
}
