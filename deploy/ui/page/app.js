/** The page: which runs are shown, which view, and what a learner may be asked for. */
import { render } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Actors } from "./actors.js";
import { ask, control } from "./api.js";
import { Credit } from "./credit.js";
import { decimal, percent, short } from "./format.js";
import { Ledger } from "./ledger.js";
import { Progress } from "./progress.js";
import { Settings } from "./settings.js";
import { Time } from "./time.js";
import { html, Problem } from "./ui.js";

const views = {
  progress: ["Progress", Progress],
  time: ["Time", Time],
  actors: ["Actors", Actors],
  ledger: ["Ledger", Ledger],
  credit: ["Credit", Credit],
  settings: ["Settings", Settings],
};
const POLL_MS = 2000;
const MAX_SHOWN = 8;

/** View and choices live in the address, so that a link shows what its sender saw. */
function useRoute() {
  const read = () => {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    return { view: Object.hasOwn(views, path) ? path : "progress", given: new URLSearchParams(query) };
  };
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const follow = () => setRoute(read());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const go = (view, changes = {}) => {
    const given = new URLSearchParams(route.given);
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined || value === "") given.delete(key);
      else given.set(key, value);
    }
    location.hash = `/${view}${given.size ? `?${given}` : ""}`;
  };
  return { ...route, go };
}

/** Asks for the runs and the details of the chosen one every other second, while somebody looks. */
function useRuns(chosen) {
  const [state, setState] = useState({});
  const [asked, askAgain] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    let isAsking = false;
    const poll = async () => {
      if (isAsking) return;
      isAsking = true;
      try {
        if (!document.hidden) {
          const { runs, shown } = await ask("runs", {}, stop);
          const name = chosen ?? firstOf(runs, shown);
          const detail = runs.some((run) => run.name === name) ? await ask("run", { run: name }, stop) : undefined;
          setState({ runs, shown, detail });
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((before) => ({ ...before, lost: error.message }));
      }
      isAsking = false;
      timer = setTimeout(poll, POLL_MS);
    };
    const wake = () => {
      if (document.hidden) return;
      clearTimeout(timer);
      poll();
    };
    document.addEventListener("visibilitychange", wake);
    poll();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
    };
  }, [chosen, asked]);
  return { ...state, refresh: () => askAgain((count) => count + 1) };
}

/** One that is alive, or else the one written to last. */
function firstOf(runs, shown) {
  if (shown.length > 0) return shown[0];
  return [...runs].sort((a, b) => b.live - a.live || b.updatedMs - a.updatedMs)[0]?.name;
}

function App() {
  const { view, given, go } = useRoute();
  const { runs, shown: suggested, detail, lost, refresh } = useRuns(given.get("run") ?? undefined);
  const theme = useTheme();
  const main = useRef();
  const listed = given.get("runs");
  const shown = useMemo(() => {
    if (!runs || !detail) return [];
    const wanted = [detail.name, ...(listed === null ? suggested : listed.split(","))];
    const known = [...new Set(wanted)].filter((name) => runs.some((run) => run.name === name));
    return known.slice(0, MAX_SHOWN).map((name, slot) => ({ ...runs.find((run) => run.name === name), slot }));
  }, [runs, detail, listed]);
  useEffect(() => {
    document.title = detail ? `${detail.name} · Proxima` : "Proxima";
  }, [detail?.name]);

  if (!runs)
    return lost ? html`<main><${Problem}>${lost}<//></main>` : html`<main><p class="quiet">Loading …</p></main>`;
  const choose = (run) => go(view, { run, iteration: "", group: "", member: "", step: "" });
  const toggle = (name) => {
    const others = shown.filter((run) => run.name !== detail.name).map((run) => run.name);
    const next = others.includes(name) ? others.filter((each) => each !== name) : [...others, name];
    go(view, { run: detail.name, runs: next.join(",") || detail.name });
  };
  const [title, View] = views[view];
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current.focus();
    }}>Skip to ${title}</a>
    <header class="top">
      <a class="brand" href="#/progress"><img src="/icon.svg" alt="" width="22" height="22" />Proxima</a>
      <nav aria-label="Views">
        ${Object.entries(views).map(
          ([name, [label]]) => html`
            <a href=${`#/${name}?${given}`} aria-current=${name === view ? "page" : null}>${label}</a>
          `,
        )}
      </nav>
    </header>
    <div class="columns">
      <${RunList} runs=${runs} shown=${shown} chosen=${detail?.name} onChoose=${choose} onToggle=${toggle} />
      <main id="main" tabindex="-1" ref=${main}>
        ${lost ? html`<${Problem}>The server does not answer (${lost}). What you see is what was last heard.<//>` : null}
        ${
          detail
            ? html`
                <${Heading} detail=${detail} refresh=${refresh} />
                <h2 class="sr">${title}</h2>
                <${View} detail=${detail} shown=${shown} theme=${theme} given=${given} go=${(changes) => go(view, changes)} />
              `
            : html`<p class="quiet">There is no run here yet. Train one with <code>proxima dev</code>; it appears by itself.</p>`
        }
      </main>
    </div>
  `;
}

/** "light" or "dark", as the system has it. */
function useTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [theme, setTheme] = useState(dark.matches ? "dark" : "light");
  useEffect(() => {
    const follow = () => setTheme(dark.matches ? "dark" : "light");
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  return theme;
}

function RunList({ runs, shown, chosen, onChoose, onToggle }) {
  const [isOpen, setOpen] = useState(false);
  const [filter, setFilter] = useState("");
  const slots = new Map(shown.map(({ name, slot }) => [name, slot]));
  const sorted = [...runs].sort((a, b) => b.live - a.live || b.updatedMs - a.updatedMs);
  const found = sorted.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
  return html`
    <aside aria-label="Runs" class=${isOpen ? "open" : ""}>
      <button class="opener" aria-expanded=${isOpen} aria-controls="runs" onClick=${() => setOpen(!isOpen)}>
        Runs <span class="quiet">${shown.length} of ${runs.length} shown</span>
      </button>
      <div id="runs">
        ${
          runs.length > 8
            ? html`<input type="search" aria-label="Filter runs" placeholder="Filter runs" value=${filter} onInput=${(e) => setFilter(e.target.value)} />`
            : null
        }
        <ul>
          ${found.slice(0, 200).map(
            (run) => html`
              <li key=${run.name} class=${run.name === chosen ? "chosen" : ""}>
                ${
                  run.name === chosen
                    ? html`<span class=${`own part run-${slots.get(run.name)}`}></span>`
                    : html`<input
                        type="checkbox"
                        aria-label=${`Show ${run.name} in charts`}
                        class=${slots.has(run.name) ? `run-${slots.get(run.name)}` : ""}
                        checked=${slots.has(run.name)}
                        disabled=${!slots.has(run.name) && shown.length >= MAX_SHOWN}
                        onChange=${() => onToggle(run.name)}
                      />`
                }
                <button aria-pressed=${run.name === chosen} onClick=${() => onChoose(run.name)}>
                  <span class="name">${run.name}${run.live ? html` <span class="alive">live</span>` : null}</span>
                  <span class="quiet">${run.how}</span>
                  <span class="quiet">${short(run.envSteps)} steps · ${run.success == null ? `return ${decimal(run.return)}` : `success ${percent(run.success)}`}</span>
                </button>
              </li>
            `,
          )}
        </ul>
      </div>
    </aside>
  `;
}

/** The run's name, what its learner is at, and what can be asked of it. */
function Heading({ detail, refresh }) {
  const { name, env, how, status, silence, live } = detail;
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const dialog = useRef();
  const reason = useRef();
  const request = async (action, more) => {
    setBusy(true);
    setSaid("");
    try {
      const { iteration, path } = await control(name, action, more);
      setSaid(
        {
          pause: `Pauses after iteration ${iteration}.`,
          resume: "Goes on.",
          checkpoint: `Checkpoint after ${iteration} iterations: ${path}`,
        }[action],
      );
    } catch (error) {
      setSaid(error.message);
    }
    setBusy(false);
    refresh();
  };
  const phase = status?.phase ?? (live ? "silent" : "ended");
  return html`
    <div class="heading">
      <div>
        <h1>${name}</h1>
        <p class="quiet">${env} · ${how}</p>
      </div>
      <p class="phase ${phase}">
        ${
          {
            paused: `paused: ${status?.pausedReason}`,
            collecting: "collecting episodes",
            updating: "updating",
            silent: "the learner does not answer",
            ended: "no learner is alive",
          }[phase] ?? phase
        }
      </p>
      ${
        status
          ? html`
              <div class="actions">
                ${
                  phase === "paused"
                    ? html`<button disabled=${busy} onClick=${() => request("resume")}>Resume</button>`
                    : html`<button disabled=${busy} onClick=${() => dialog.current.showModal()}>Pause …</button>`
                }
                <button disabled=${busy} onClick=${() => request("checkpoint")}>Checkpoint</button>
              </div>
            `
          : null
      }
      <p class="said" role="status">${said || (silence ?? "")}</p>
      <dialog ref=${dialog} aria-labelledby="pause-title">
        <h2 id="pause-title">Pause ${name}</h2>
        <p>The learner stops after the iteration under way and keeps everything; actors stay and wait.</p>
        <label>Reason, shown to whoever watches <input ref=${reason} maxlength="200" placeholder="paused from the page" /></label>
        <div class="actions">
          <button class="main" onClick=${() => {
            dialog.current.close();
            request("pause", { reason: reason.current.value });
          }}>Pause</button>
          <button onClick=${() => dialog.current.close()}>Cancel</button>
        </div>
      </dialog>
    </div>
  `;
}

render(html`<${App} />`, document.body);
