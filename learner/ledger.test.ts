import { describe, expect, test } from "bun:test";
import { Ledger } from "./ledger.ts";

describe("the ledger", () => {
  test("balances at every moment of an iteration's life", () => {
    const ledger = new Ledger();
    const check = () => expect(ledger.balance().balanced).toBe(true);
    expect(ledger.start(0, 2, 3)).toBe(0);
    check();
    for (const group of [0, 1])
      for (const member of [0, 1, 2]) expect(ledger.receive({ iteration: 0, group, member })).toBe("fresh");
    check();
    for (const member of [0, 1, 2]) ledger.train({ iteration: 0, group: 0, member });
    for (const member of [0, 1, 2]) ledger.drop({ iteration: 0, group: 1, member }, "noSignal");
    check();
    ledger.close(0);
    expect(ledger.balance()).toEqual({
      started: 6,
      trained: 3,
      dropped: 3,
      reasons: { noSignal: 3 },
      inFlight: 0,
      balanced: true,
    });
  });

  test("knows a duplicate before and after its iteration closed, and what nobody asked for", () => {
    const ledger = new Ledger();
    ledger.start(0, 1, 1);
    const name = { iteration: 0, group: 0, member: 0 };
    expect(ledger.receive(name)).toBe("fresh");
    expect(ledger.receive(name)).toBe("duplicate");
    ledger.train(name);
    ledger.close(0);
    expect(ledger.receive(name)).toBe("duplicate");
    expect(ledger.receive({ iteration: 5, group: 0, member: 0 })).toBe("unknown");
    expect(ledger.receive({ iteration: 5, group: -1, member: 1e9 })).toBe("unknown");
  });

  test("knows when enough groups have enough of their members", () => {
    const ledger = new Ledger();
    ledger.start(0, 2, 4);
    const all = { groups: 2, share: 1 };
    const some = { groups: 1, share: 0.75 };
    for (const member of [0, 1]) ledger.receive({ iteration: 0, group: 1, member });
    expect(ledger.isReady(0, some)).toBe(false);
    ledger.drop({ iteration: 0, group: 1, member: 2 }, "noResult"); // also one that gave up is not waited for
    expect([ledger.isReady(0, some), ledger.isReady(0, all)]).toEqual([true, false]);
    ledger.receive({ iteration: 0, group: 1, member: 3 });
    for (const member of [0, 1, 2, 3]) ledger.receive({ iteration: 0, group: 0, member });
    expect(ledger.isReady(0, all)).toBe(true);
    expect(ledger.isReady(7, { groups: 0, share: 1 })).toBe(true);
  });

  test("refuses to train a member twice or to close an iteration with members in flight", () => {
    const ledger = new Ledger();
    ledger.start(0, 1, 2);
    const name = { iteration: 0, group: 0, member: 0 };
    ledger.receive(name);
    ledger.train(name);
    expect(() => ledger.train(name)).toThrow("cannot be trained: it is trained");
    expect(() => ledger.close(0)).toThrow("1 members are neither trained nor dropped");
  });

  test("restored from a checkpoint, asks again for what was received but not trained", () => {
    const ledger = new Ledger();
    ledger.start(3, 2, 2);
    ledger.receive({ iteration: 3, group: 1, member: 0 });
    const restored = Ledger.restore(JSON.parse(JSON.stringify(ledger.state())));
    expect(restored.waiting(3).map((g) => g.members)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(restored.balance()).toEqual(ledger.balance());
  });

  test("appends the groups of a refill to the iteration they belong to", () => {
    const ledger = new Ledger();
    ledger.start(0, 4, 2);
    expect(ledger.start(0, 2, 2)).toBe(4);
    expect(ledger.groups(0)).toBe(6);
  });
});
