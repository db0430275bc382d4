/**
 * One session with an OpenEnv server: a WebSocket, one question at a time, each with a deadline. The server keeps one environment for
 * each session.
 */

interface Answer {
  type?: unknown;
  data?: unknown;
}

interface Asked {
  resolve(data: Readonly<Record<string, unknown>>): void;
  reject(error: Error): void;
  expected: string;
}

export class OpenEnvSession {
  readonly #socket: WebSocket;
  #asked: Asked | undefined;
  #lost: Error | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#answer(String(data)));
    socket.addEventListener("close", ({ code, reason }) => {
      this.#end(new Error(`the OpenEnv server closed the session (${code}${reason ? `, ${reason}` : ""})`));
    });
  }

  /** @param url of the server, http://… or ws://… @throws Error when it does not open in time */
  static open(url: string, timeoutMs: number): Promise<OpenEnvSession> {
    if (typeof WebSocket === "undefined") {
      throw new Error("OpenEnv is spoken over WebSocket: play it on Bun, Deno or Node >= 22");
    }
    const address = `${url.replace(/^http/, "ws").replace(/\/+$/, "")}/ws`;
    const socket = new WebSocket(address);
    return new Promise((resolve, reject) => {
      const refuse = () => {
        clearTimeout(timer);
        socket.close();
        reject(
          new Error(
            `no OpenEnv server answers at ${address}: start one there, or name another with --env.url http://host:port`,
          ),
        );
      };
      const timer = setTimeout(refuse, timeoutMs);
      socket.addEventListener("error", refuse, { once: true });
      socket.addEventListener(
        "open",
        () => {
          clearTimeout(timer);
          resolve(new OpenEnvSession(socket));
        },
        { once: true },
      );
    });
  }

  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** An answer is due. */
  get busy(): boolean {
    return this.#asked !== undefined;
  }

  /** What the server answers. A late answer loses the session, as nobody could tell which question the next one is for. */
  ask(type: "reset" | "step" | "state", data: object | undefined, timeoutMs: number) {
    if (this.#lost) return Promise.reject(this.#lost);
    if (this.#asked) return Promise.reject(new Error(`openenv: ${type} while the answer to another question is due`));
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    const timer = setTimeout(() => {
      this.#end(new Error(`the OpenEnv server did not answer a ${type} within ${timeoutMs} ms`));
      this.#socket.close();
    }, timeoutMs);
    this.#asked = { resolve, reject, expected: type === "state" ? "state" : "observation" };
    this.#socket.send(JSON.stringify({ type, data }));
    return promise.finally(() => clearTimeout(timer));
  }

  close(): void {
    if (!this.#lost) this.#socket.send(JSON.stringify({ type: "close" }));
    this.#end(new Error("openenv: the session is closed"));
    this.#socket.close();
  }

  #answer(text: string): void {
    const asked = this.#asked;
    this.#asked = undefined;
    let answer: Answer;
    try {
      answer = JSON.parse(text) as Answer;
    } catch (cause) {
      const error = new Error("the OpenEnv server sent something that is no JSON", { cause });
      asked?.reject(error);
      return;
    }
    const data = (answer.data ?? {}) as Readonly<Record<string, unknown>>;
    const problem =
      answer.type === "error"
        ? new Error(`the OpenEnv server refused: ${String(data.message)} (${String(data.code)})`)
        : new Error(`the OpenEnv server answered "${String(answer.type)}", expected "${asked?.expected}"`);
    if (!asked)
      this.#end(problem); // it speaks unasked: that there is no room for a session, say
    else if (answer.type === asked.expected) asked.resolve(data);
    else asked.reject(problem);
  }

  #end(error: Error): void {
    this.#lost ??= error;
    this.#asked?.reject(this.#lost);
    this.#asked = undefined;
  }
}
