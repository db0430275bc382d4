import { afterEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { pythonWith } from "../../proto/testing/python.ts";
import type { Trajectory } from "../../proto/trajectory.ts";
import { GroupTracer } from "./group-tracer.ts";
import { otlpExporter, type Span, type SpanExporter } from "./otlp.ts";

const resource = { "service.name": "proxima-learner" };
const span: Span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  name: "group",
  fromMs: 1_700_000_000_000.25,
  toMs: 1_700_000_001_000,
  attributes: { "proxima.run": "walk", "proxima.iteration": 3, "proxima.share": 0.5, "proxima.ok": true },
};

const servers: ReturnType<typeof Bun.serve>[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

/** What an OpenTelemetry collector's HTTP receiver gets; `answer` decides how it responds. */
function collector(answer: () => Response = () => Response.json({})) {
  const bodies: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      if (new URL(request.url).pathname !== "/v1/traces") return new Response("", { status: 404 });
      bodies.push(await request.text());
      return answer();
    },
  });
  servers.push(server);
  return { endpoint: `http://127.0.0.1:${server.port}`, bodies };
}

describe("otlpExporter()", () => {
  const python = pythonWith("opentelemetry.proto", "OpenTelemetry's own messages");
  const read = `
import base64, json, sys
from google.protobuf.json_format import Parse, MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
given = json.load(sys.stdin)
# OTLP writes ids in hexadecimal where protobuf's JSON has base64.
for r in given["resourceSpans"]:
    for s in r["scopeSpans"]:
        for span in s["spans"]:
            for id in ("traceId", "spanId", "parentSpanId"):
                if id in span: span[id] = base64.b64encode(bytes.fromhex(span[id])).decode()
message = Parse(json.dumps(given), ExportTraceServiceRequest())
span = message.resource_spans[0].scope_spans[0].spans[0]
print(json.dumps({"id": span.trace_id.hex(), "from": str(span.start_time_unix_nano), "to": str(span.end_time_unix_nano),
  "attributes": {a.key: MessageToDict(a.value) for a in span.attributes},
  "service": message.resource_spans[0].resource.attributes[0].value.string_value}))
`;

  test.skipIf(!python)("sends what OpenTelemetry's own messages hold, field by field", async () => {
    const { endpoint, bodies } = collector();
    const exporter = otlpExporter({ endpoint: `${endpoint}/`, resource, onNotice: () => {} });
    exporter.export([span]);
    await exporter.close();
    const { stdout, stderr, status } = spawnSync(python!, ["-c", read], { input: bodies[0], encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      id: span.traceId,
      from: "1700000000000250000",
      to: "1700000001000000000",
      attributes: {
        "proxima.run": { stringValue: "walk" },
        "proxima.iteration": { intValue: "3" },
        "proxima.share": { doubleValue: 0.5 },
        "proxima.ok": { boolValue: true },
      },
      service: "proxima-learner",
    });
  });

  test("loses spans that nobody takes without a fuss: it says so once, and once when they arrive again", async () => {
    let works = false;
    const { endpoint, bodies } = collector(() => new Response("", { status: works ? 200 : 503 }));
    const notices: string[] = [];
    const exporter = otlpExporter({ endpoint, resource, onNotice: (message) => notices.push(message) });
    for (works of [false, false, true, true]) {
      exporter.export([span]);
      await exporter.close();
    }
    expect(bodies.length).toBe(4);
    expect(notices).toEqual([
      `Traces are lost: ${endpoint}/v1/traces does not take them (it answered 503).`,
      `Traces arrive at ${endpoint}/v1/traces again.`,
    ]);
    const nowhere: string[] = [];
    const alone = otlpExporter({ endpoint: "http://127.0.0.1:1", resource, onNotice: (m) => nowhere.push(m) });
    alone.export([span]);
    await alone.close();
    expect(nowhere.length).toBe(1);
  });
});

describe("GroupTracer", () => {
  function tracer() {
    const sent: Span[][] = [];
    const exporter: SpanExporter = { export: (spans) => void sent.push([...spans]), close: async () => {} };
    return { sent, tracer: new GroupTracer("walk", 1, exporter) };
  }
  const episode = (iteration: number, group: number, member: number, counter = iteration) =>
    ({
      lineage: { iteration, group, member, task: "tidy", actor: `actor-${member}`, weights: { counter } },
      steps: { count: 5 },
      outcome: { type: "finished" },
    }) as unknown as Trajectory;

  test("tells the life of a group: task, episodes, update, broadcast, first use", () => {
    const { sent, tracer: group } = tracer();
    group.issued(4, 0, [0, 1], 1000);
    group.issued(4, 1, [0, 1], 1000);
    group.arrived(episode(4, 0, 1), 1500);
    group.arrived(episode(4, 1, 0), 1550);
    group.arrived(episode(4, 0, 0), 1600);
    group.done(4, "wait", 1000, 1600);
    group.done(4, "advantages", 1600, 1650);
    group.done(4, "update", 1650, 1900);
    group.done(4, "broadcast", 1900, 1910);
    group.used("actor-1", 4, 1920); // an older version, from before
    expect(sent).toEqual([]);
    group.used("actor-0", 5, 1950);
    const [spans] = sent as [Span[]];
    expect(spans.map(({ name, fromMs, toMs }) => [name, fromMs, toMs])).toEqual([
      ["group", 1000, 1950],
      ["task", 1000, 1600],
      ["episode", 1000, 1500],
      ["episode", 1000, 1600],
      ["advantages", 1600, 1650],
      ["update", 1650, 1900],
      ["broadcast", 1900, 1910],
      ["first use", 1900, 1950],
    ]);
    const [root, task, ...parts] = spans as [Span, Span, ...Span[]];
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
    expect(task.parentSpanId).toBe(root.spanId);
    expect(parts.map(({ parentSpanId }) => parentSpanId === task.spanId)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(root.attributes).toMatchObject({ "proxima.task": "tidy", "proxima.iteration": 4, "proxima.members": 2 });
    expect(parts.at(-1)!.attributes).toMatchObject({ "proxima.actor": "actor-0", "proxima.weights_version": 5 });
    group.used("actor-1", 5, 2000); // the first use is told once
    expect(sent.length).toBe(1);
  });

  test("holds a bounded number of groups whose weights nobody uses, and sends what is left at the end", async () => {
    const { sent, tracer: group } = tracer();
    for (let i = 0; i < 40; i++) {
      group.issued(i, 0, [0], i);
      group.arrived(episode(i, 0, 0, 0), i);
      group.done(i, "broadcast", i, i + 1);
    }
    expect(sent.length).toBe(24);
    await group.close();
    expect(sent.length).toBe(40);
  });

  test("takes an episode as proof that its weights are in use, where no report came before", () => {
    const { sent, tracer: group } = tracer();
    group.issued(0, 0, [0], 1);
    group.arrived(episode(0, 0, 0), 2);
    group.done(0, "broadcast", 3, 4);
    group.arrived(episode(1, 5, 0), 9);
    expect(sent[0]!.map(({ name }) => name)).toContain("first use");
  });
});
