import { expect, it, vi } from 'vitest'
import { z } from 'zod'
import type { ClaimedStep, CompletedStep } from '../engine/index.js'
import { defineExecutor, done, type Log } from '../executors/define.js'
import { defaultPolicy } from '../executors/testing.js'
import { InFlight } from './in-flight.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const executor = defineExecutor({ kind: 'quick', params: z.unknown(), run: () => done() })

const claimed = (step_id: string): ClaimedStep => ({
  step_id,
  token: `token of ${step_id}`,
  mission_id: 'a-mission',
  key: 'step-1',
  kind: 'quick',
  executor: 'quick',
  agent: null,
  params: {},
  inputs: null,
  attempt: 1,
  failure_count: 0,
  max_retries: 3,
  timeout_seconds: null,
  lease_expires_at: '2026-01-01T00:00:00Z',
  lease_seconds: 300,
  mission_title: null,
  depth: 0,
  priority: 0,
  run_at: '2026-01-31T09:00:00+00:00',
})

/** Outcomes are recorded when the test says so. */
function setUp() {
  const calls: (() => void)[] = []
  const held: string[][] = []
  const none = async () => []
  const onRecorded = vi.fn()
  const inFlight = new InFlight({
    engine: {
      completeSteps: (items) =>
        new Promise((resolve) => {
          const answer = items.map(
            ({ step_id }): CompletedStep => ({
              step_id,
              outcome: 'ok',
              mission_id: 'm',
              mission_status: 'succeeded',
            }),
          )
          calls.push(() => resolve(answer))
        }),
      failSteps: none,
      snoozeSteps: none,
      releaseSteps: none,
    },
    makeRenewer: () => ({
      hold: (leases) => held.push(leases.map(({ step_id }) => step_id)),
      drop() {},
      catchUp() {},
      close: async () => {},
    }),
    workshop: {
      executors: new Map([['quick', executor]]),
      engine: { radarAdd: vi.fn(), radarUpdate: vi.fn(), radarList: vi.fn() },
      envOf: () => ({}),
      roleOf: () => undefined,
      policy: () => defaultPolicy,
      mask: (text) => text,
      log: silent,
    },
    log: silent,
    isLeaving: () => false,
    onRoom() {},
    onRecorded,
  })
  const sent = (count: number) => vi.waitFor(() => expect(calls).toHaveLength(count))
  return { inFlight, calls, held, sent, onRecorded }
}

it('who found no room is told when a part of what is in flight is recorded, not only when all of it is', async () => {
  const { inFlight, calls, sent, onRecorded } = setUp()
  inFlight.take([claimed('a')], performance.now())
  await sent(1)
  expect(inFlight.room(1)).toBe(1)
  inFlight.take([claimed('b')], performance.now())
  expect(inFlight.room(1)).toBe(0)
  calls[0]?.()
  await sent(2)
  expect(onRecorded).toHaveBeenCalledOnce()
  expect([inFlight.room(1), inFlight.isEmpty()]).toEqual([1, false])
  calls[1]?.()
  await inFlight.settled()
})

it('all leases of a claim are held before the first of its executors runs', () => {
  const { inFlight, held } = setUp()
  const run = vi.spyOn(executor, 'prepare')
  run.mockImplementation(() => {
    expect(held).toEqual([['a', 'b']])
    return { ok: true, run: () => done() }
  })
  inFlight.take([claimed('a'), claimed('b')], performance.now())
  expect(run).toHaveBeenCalledTimes(2)
  run.mockRestore()
})
