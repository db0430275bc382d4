/**
 * Spans to an OpenTelemetry collector as OTLP over HTTP in JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp. Our spans are
 * written once, after the fact, from a handful of events, so all that is needed of OpenTelemetry is its format; its SDK, which
 * follows calls through a program, would be a dozen packages for one POST.
 */

export interface Span {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** 16 hexadecimal digits. */
  spanId: string;
  parentSpanId?: string;
  name: string;
  /** Milliseconds since 1970. */
  fromMs: number;
  toMs: number;
  attributes: Readonly<Record<string, string | number | boolean>>;
}

export interface SpanExporter {
  /** Never waits and never throws: what a collector does not take is lost. */
  export(spans: readonly Span[]): void;
  /** Resolves when what is left was sent, or could not be. */
  close(): Promise<void>;
}

export interface OtlpOptions {
  /** Of the collector, http://127.0.0.1:4318; `/v1/traces` is added. */
  endpoint: string;
  /** Attributes of whoever sends, `service.name` among them. */
  resource: Readonly<Record<string, string>>;
  /** Told once when spans are lost, and once when they arrive again. */
  onNotice(message: string): void;
  timeoutMs?: number;
}

/** More than this wait for a collector that is slow: later ones are lost. */
const MAX_WAITING = 4096;

export function otlpExporter({ endpoint, resource, onNotice, timeoutMs = 5000 }: OtlpOptions): SpanExporter {
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  let waiting: Span[] = [];
  let sending: Promise<void> | undefined;
  let isLosing = false;

  const send = async () => {
    while (waiting.length > 0) {
      const spans = waiting;
      waiting = [];
      try {
        const response = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(traceRequest(resource, spans)),
          signal: AbortSignal.timeout(timeoutMs),
        });
        await response.arrayBuffer();
        if (!response.ok) throw new Error(`it answered ${response.status}`);
        if (isLosing) onNotice(`Traces arrive at ${url} again.`);
        isLosing = false;
      } catch (error) {
        if (!isLosing) onNotice(`Traces are lost: ${url} does not take them (${(error as Error).message}).`);
        isLosing = true;
      }
    }
    sending = undefined;
  };
  return {
    export(spans) {
      waiting.push(...spans.slice(0, MAX_WAITING - waiting.length));
      sending ??= send();
    },
    async close() {
      await sending;
    },
  };
}

/** An ExportTraceServiceRequest. */
function traceRequest(resource: OtlpOptions["resource"], spans: readonly Span[]) {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: "proxima" }, spans: spans.map(spanMessage) }],
      },
    ],
  };
}

const SPAN_KIND_INTERNAL = 1;

const spanMessage = ({ traceId, spanId, parentSpanId, name, fromMs, toMs, attributes }: Span) => ({
  traceId,
  spanId,
  parentSpanId,
  name,
  kind: SPAN_KIND_INTERNAL,
  startTimeUnixNano: nanoseconds(fromMs),
  endTimeUnixNano: nanoseconds(toMs),
  attributes: attributesOf(attributes),
});

/** 64-bit integers are strings in this JSON. */
const nanoseconds = (ms: number) => String(BigInt(Math.round(ms * 1000)) * 1000n);

function attributesOf(attributes: Span["attributes"]) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: attributeValue(value) }));
}

function attributeValue(value: string | number | boolean) {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
