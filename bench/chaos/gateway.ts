/**
 * The only way in and out of a host: passes connections between the host's own loopback and Unix sockets that all hosts share. Cuts
 * and slows what passes when told so on standard input, one JSON object a line; ends when that ends.
 *   bun gateway.ts '{"imports": [{"port": 4222, "socket": "/…/nats"}], "exports": [{"socket": "/…/weights", "port": 7400}]}'
 */
import { rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface GatewaySettings {
  /** Services elsewhere, offered on this host's loopback. */
  imports: { port: number; socket: string }[];
  /** Services of this host, offered to others. */
  exports: { socket: string; port: number }[];
}

/** How its links behave from now on. */
export interface LinkState {
  cut: boolean;
  /** Added to each piece that passes, in order. */
  delayMs: number;
}

const connections = new Set<Socket>();
let link: LinkState = { cut: false, delayMs: 0 };

function join(near: Socket, far: Socket): void {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    connections.add(from);
    from.on("data", (piece) => {
      const pass = () => {
        if (!to.destroyed && !to.write(piece)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      };
      if (link.delayMs > 0) setTimeout(pass, link.delayMs);
      else pass();
    });
    from.on("error", () => {});
    from.on("close", () => {
      connections.delete(from);
      to.destroy();
    });
  }
}

function offer(on: { port: number } | { socket: string }, connect: () => Socket): void {
  const server = createServer((near) => {
    if (link.cut) near.destroy();
    else join(near, connect());
  });
  if ("socket" in on) {
    rmSync(on.socket, { force: true }); // left by a gateway that was killed
    server.listen(on.socket);
  } else server.listen(on.port, "127.0.0.1");
}

if (import.meta.main) {
  const { imports, exports } = JSON.parse(process.argv[2]!) as GatewaySettings;
  for (const { port, socket } of imports) offer({ port }, () => createConnection(socket));
  for (const { port, socket } of exports) offer({ socket }, () => createConnection(port, "127.0.0.1"));
  const commands = createInterface({ input: process.stdin });
  commands.on("line", (line) => {
    link = JSON.parse(line) as LinkState;
    if (link.cut) for (const connection of connections) connection.destroy();
  });
  commands.on("close", () => process.exit(0));
}
