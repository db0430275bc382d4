/** How the page speaks with its server. */

/** @throws Error with what the server said */
export async function ask(what, parameters = {}, { signal } = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) for (const each of value) query.append(key, each);
    else if (value !== undefined && value !== "") query.set(key, value);
  }
  return content(await fetch(`/api/${what}?${query}`, { signal }));
}

/** Asks a run's learner for something: pause, resume, checkpoint or swap. @param more what goes with it */
export async function control(run, action, more = {}) {
  const token = document.querySelector("meta[name=proxima-token]").content;
  const headers = { "content-type": "application/json", "x-proxima-token": token };
  const body = JSON.stringify({ run, action, ...more });
  return content(await fetch("/api/control", { method: "POST", headers, body }));
}

async function content(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The server answered ${response.status}.`);
  return answer;
}
