import { describe, expect, it } from 'vitest'
import { type Engine, OpsError, type StepFailure } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { Outbox, type Receipt } from './outbox.js'
import type { Verdict } from './verdict.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const LEASE = { step_id: 'a', token: 't' }

type OutboxEngine = Pick<Engine, 'completeSteps' | 'failSteps' | 'snoozeSteps' | 'releaseSteps'>

/** Records everything; the step's mission goes on. */
function setUp(overrides: Partial<OutboxEngine> = {}) {
  const failures: StepFailure[] = []
  const engine: OutboxEngine = {
    completeSteps: async (items) =>
      items.map(({ step_id }) => ({ step_id, outcome: 'ok', mission_id: 'm', mission_status: 'running' })),
    async failSteps(items) {
      failures.push(...items)
      return items.map(({ step_id, permanent }) => ({
        step_id,
        outcome: 'ok',
        step_status: permanent ? 'failed' : 'queued',
        run_at: null,
        mission_id: 'm',
        mission_status: permanent ? 'failed' : 'running',
      }))
    },
    snoozeSteps: async (items) => items.map(({ step_id }) => ({ step_id, outcome: 'ok', run_at: null })),
    releaseSteps: async (items) => items.map(({ step_id }) => ({ step_id, outcome: 'ok' })),
    ...overrides,
  }
  const outbox = new Outbox({ engine, isHopeless: () => true, mask: (text) => text, log: silent })
  const deliver = (verdict: Verdict) =>
    new Promise<Receipt>((settle) => outbox.deliver(LEASE, verdict, settle))
  return { outbox, deliver, failures }
}

const complete = { kind: 'complete', result: 1, bytes: 1 } as const

describe('a receipt', () => {
  it.each([
    ['succeeded', complete, true],
    ['retried', { kind: 'fail', error: 'x' } as const, true],
    ['failed', { kind: 'fail', error: 'x', permanent: true } as const, false],
    ['snoozed', { kind: 'snooze', seconds: 1 } as const, false],
    ['released', { kind: 'release' } as const, false],
    ['lost', { kind: 'nothing' } as const, false],
  ])('says %s, and whether the mission goes on', async (recorded, verdict, missionRuns) => {
    const { outbox, deliver } = setUp()
    expect(await deliver(verdict)).toEqual({ recorded, missionRuns })
    expect(outbox.stalled).toBe(false)
  })

  it('says lost when the token did not count any more', async () => {
    const { deliver } = setUp({
      completeSteps: async () => [{ step_id: 'a', outcome: 'lost', mission_id: null, mission_status: null }],
    })
    expect(await deliver(complete)).toEqual({ recorded: 'lost', missionRuns: false })
  })

  it('says undelivered when the database stays away for too long', async () => {
    const away = new OpsError('OPS_001', 'away', { cause: { code: 'ECONNREFUSED' } })
    const { deliver } = setUp({ completeSteps: () => Promise.reject(away) })
    expect(await deliver(complete)).toEqual({ recorded: 'undelivered', missionRuns: false })
  })
})

describe('contents that the database refuses', () => {
  const refuse = () => Promise.reject(new OpsError('OPS_011', 'events.type is wrong'))

  it('fail the step for good, with the reason', async () => {
    const { deliver, failures } = setUp({ completeSteps: refuse })
    expect(await deliver(complete)).toMatchObject({ recorded: 'failed' })
    expect(failures).toMatchObject([
      { ...LEASE, permanent: true, error: expect.stringContaining('events.type is wrong') },
    ])
  })

  it('of a failure make it a failure without them', async () => {
    const sent: StepFailure[] = []
    const { deliver } = setUp({
      failSteps: async (items) => {
        sent.push(...items)
        if (items.some((item) => item.events)) return refuse()
        return [
          {
            step_id: 'a',
            outcome: 'ok',
            step_status: 'failed',
            run_at: null,
            mission_id: 'm',
            mission_status: 'failed',
          },
        ]
      },
    })
    const verdict = { kind: 'fail', error: 'x', events: [{ type: '?' }] } as const
    expect(await deliver({ ...verdict, events: [...verdict.events] })).toMatchObject({
      recorded: 'failed',
    })
    expect(sent).toHaveLength(2)
  })
})

it('a missing right does not turn a result into a failure', async () => {
  const forbidden = () => Promise.reject(new OpsError('OPS_012', 'not authorised'))
  const { deliver, failures } = setUp({ completeSteps: forbidden })
  expect(await deliver(complete)).toMatchObject({ recorded: 'undelivered' })
  expect(failures).toEqual([])
})
