import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { connectEngine, type Engine, type OnNotify } from '../engine/index.js'
import { defineExecutor, done, type Log, type Outcome } from '../executors/define.js'
import { freshDatabase, type TestDatabase, urlFor } from '../test/support/database.js'
import { createWorker, type WorkerOptions } from './worker.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

let database: TestDatabase
let control: Engine
let engine: Engine
/** Steps that claims have given. */
let claimed: string[]

beforeEach(async () => {
  database = await freshDatabase()
  control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  const direct = connectEngine({ databaseUrl: urlFor(database, 'ops_worker') })
  claimed = []
  engine = {
    ...direct,
    async claimSteps(request) {
      const steps = await direct.claimSteps(request)
      claimed.push(...steps.map(({ step_id }) => step_id))
      return steps
    },
  }
})
afterEach(async () => {
  await Promise.all([control.close(), engine.close()])
  await database.drop()
})

/** A worker that looks for work once and then only when it is woken. Its executor tells each step that it runs. */
function watching(
  run: (stepId: string, signal: AbortSignal) => Outcome | Promise<Outcome>,
  options: Partial<WorkerOptions> = {},
) {
  const executor = defineExecutor({
    kind: 'noop',
    params: z.unknown(),
    run: ({ idempotencyKey, signal }) => run(idempotencyKey, signal),
  })
  const worker = createWorker({
    engine,
    executors: new Map([['noop', executor]]),
    name: 'test',
    version: '0.0.0',
    concurrency: 10,
    watch: true,
    env: {},
    log: silent,
    pollIntervalMs: 3_600_000,
    ...options,
  })
  return { ended: worker.start(), stop: () => worker.stop('drain') }
}

/** Answers the only step of a new mission. */
async function propose(params: Record<string, unknown> = {}): Promise<string> {
  const template = { title: 'A mission', risk_level: 'low' as const, steps: [{ kind: 'noop', params }] }
  const { mission_id } = await control.createProposal({ source: 'test', template })
  const [step] = await control.listSteps({ mission_id: mission_id ?? '' })
  return step?.id ?? ''
}

const stepOf = async (id: string) => {
  const [step] = await database.sql`select * from ops_mission_steps where id = ${id}`
  return step
}
const asleep = () => database.sql`select * from ops.sleepers where takes = '{noop}'`
const untilAsleep = () => vi.waitFor(async () => expect(await asleep()).toHaveLength(1), 10_000)
const untilEnded = (id: string) =>
  vi.waitFor(async () => expect(await stepOf(id)).toMatchObject({ status: 'succeeded' }), 10_000)

describe('a worker that sleeps', () => {
  it('is handed one step after the other, and claims none of them', async () => {
    const ran: string[] = []
    const { ended, stop } = watching((id) => {
      ran.push(id)
      return done()
    })
    const proposed: string[] = []
    for (let i = 0; i < 3; i++) {
      await untilAsleep()
      proposed.push(await propose({ i }))
      await untilEnded(proposed[i] ?? '')
    }
    expect(ran).toEqual(proposed)
    expect(claimed).toEqual([])
    await stop()
    expect(await ended).toMatchObject({ succeeded: 3, lost: 0 })
  })

  it('asks for a step that no notification has room for', async () => {
    const { ended, stop } = watching(() => done())
    await untilAsleep()
    await untilEnded(await propose({ text: 'x'.repeat(10_000) }))
    expect(claimed).toEqual([])
    await stop()
    await ended
  })

  it('asks for what it was handed while it could not hear', async () => {
    let isDeaf = true
    let onGap = () => {}
    const listen = (channels: readonly string[], onNotify: OnNotify, gap: () => void) => {
      onGap = gap
      return engine.listen?.(channels, (...heard) => isDeaf || onNotify(...heard), gap) ?? Promise.reject()
    }
    const { ended, stop } = watching(() => done(), { engine: { ...engine, listen } })
    await untilAsleep()
    const id = await propose()
    expect(await stepOf(id)).toMatchObject({ status: 'running' })
    isDeaf = false
    onGap()
    await untilEnded(id)
    expect(claimed).toEqual([])
    await stop()
    await ended
  })

  it('begins a step once that it both hears of and asks for', async () => {
    const ends: (() => void)[] = []
    const listen = (channels: readonly string[], onNotify: OnNotify, onGap: () => void) => {
      const both: OnNotify = (...heard) => {
        onNotify(...heard)
        onGap()
      }
      return engine.listen?.(channels, both, onGap) ?? Promise.reject()
    }
    const handedSteps = vi.fn(engine.handedSteps)
    const { ended, stop } = watching(() => new Promise((resolve) => ends.push(() => resolve(done()))), {
      engine: { ...engine, listen, handedSteps },
    })
    await untilAsleep()
    const id = await propose()
    await vi.waitFor(() => expect(handedSteps).toHaveBeenCalled())
    expect(await handedSteps.mock.results[0]?.value).toMatchObject([{ step_id: id }])
    expect(ends).toHaveLength(1)
    ends[0]?.()
    await untilEnded(id)
    await stop()
    expect(await ended).toMatchObject({ succeeded: 1, lost: 0, released: 0 })
  })

  it('says soon that it has begun, so that a long step is not taken back', async () => {
    let end = () => {}
    const finished = new Promise<Outcome>((resolve) => {
      end = () => resolve(done())
    })
    const { ended, stop } = watching(() => finished)
    await untilAsleep()
    const id = await propose()
    const before = await stepOf(id)
    await vi.waitFor(async () => {
      const now = await stepOf(id)
      expect(now?.lease_token).toBe(before?.lease_token)
      expect(now?.lease_expires_at.getTime()).toBeGreaterThan(before?.lease_expires_at.getTime())
    }, 10_000)
    end()
    await untilEnded(id)
    await stop()
    await ended
  })

  it('hears thereby that a step is not its own any more, and stops at once', async () => {
    // Nothing else renews here.
    const makeRenewer = () => ({ hold() {}, drop() {}, catchUp() {}, close: async () => {} })
    const renewSteps = vi.fn<Engine['renewSteps']>(async (leases) =>
      leases.map(({ step_id }) => ({ step_id, outcome: 'lost' as const, lease_expires_at: null })),
    )
    let stoppedBy: unknown
    const { ended, stop } = watching(
      (_id, signal) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => {
            stoppedBy = signal.reason
            reject(signal.reason)
          }),
        ),
      { engine: { ...engine, renewSteps }, makeRenewer },
    )
    await untilAsleep()
    await propose()
    await vi.waitFor(() => expect(stoppedBy).toMatchObject({ stopCause: 'lost' }), 10_000)
    await stop()
    expect(await ended).toMatchObject({ lost: 1 })
  })

  it('gives back what it has no room for any more, which costs no failure', async () => {
    const ends: (() => void)[] = []
    const { ended, stop } = watching(() => new Promise((resolve) => ends.push(() => resolve(done()))), {
      concurrency: 1,
    })
    await untilAsleep()
    const [sleeper] = await asleep()
    const first = await propose()
    // Full now, and says so; somebody still believes that it has room.
    await vi.waitFor(async () =>
      expect(await database.sql`select from ops.sleepers where takes is null`).toHaveLength(1),
    )
    await control.workerHeartbeat(sleeper?.worker_id, true, undefined, {
      executors: ['noop'],
      channel: sleeper?.channel,
    })
    const second = await propose()
    await vi.waitFor(async () =>
      expect(await stepOf(second)).toMatchObject({ status: 'queued', failure_count: 0, attempt: 1 }),
    )
    expect(ends).toHaveLength(1)
    ends[0]?.()
    await untilEnded(first)
    await vi.waitFor(() => expect(ends).toHaveLength(2), 10_000)
    ends[1]?.()
    await untilEnded(second)
    await stop()
    expect(await ended).toMatchObject({ succeeded: 2, released: 1 })
  })

  it('begins nothing beside a claim that may fill its room', async () => {
    const ends: (() => void)[] = []
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    let isHeld = () => {}
    const holding = new Promise<void>((resolve) => {
      isHeld = resolve
    })
    const claimSteps: Engine['claimSteps'] = async (request) => {
      const steps = await engine.claimSteps(request)
      if (steps.length > 0) {
        isHeld()
        await held
      }
      return steps
    }
    const { ended, stop } = watching(() => new Promise((resolve) => ends.push(() => resolve(done()))), {
      engine: { ...engine, claimSteps },
      concurrency: 1,
    })
    await untilAsleep()
    // Two at a time are handed to nobody.
    const template = { title: 'A mission', risk_level: 'low' as const, steps: [{ kind: 'noop' }] }
    await control.createProposals([
      { source: 'test', template },
      { source: 'test', template: { ...template, steps: [{ kind: 'noop', delay_seconds: 3600 }] } },
    ])
    await holding
    const handed = await propose()
    expect(await stepOf(handed)).toMatchObject({ status: 'running' })
    letGo()
    await vi.waitFor(async () =>
      expect(await stepOf(handed)).toMatchObject({ status: 'queued', failure_count: 0 }),
    )
    expect(ends).toHaveLength(1)
    ends[0]?.()
    await vi.waitFor(() => expect(ends).toHaveLength(2), 10_000)
    ends[1]?.()
    await untilEnded(handed)
    await stop()
    expect(await ended).toMatchObject({ succeeded: 2, released: 1 })
  })

  it('is handed nothing once it has left', async () => {
    const { ended, stop } = watching(() => done())
    await untilAsleep()
    await stop()
    await ended
    expect(await database.sql`select from ops.sleepers`).toHaveLength(0)
    expect(await stepOf(await propose())).toMatchObject({ status: 'queued' })
  })

  it('gives back what it was handed while it was leaving', async () => {
    // Its last sign of life waits until a step has been handed over behind its back.
    let isLeaving = () => {}
    const leaving = new Promise<void>((resolve) => {
      isLeaving = resolve
    })
    let goOn = () => {}
    const handedOver = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const workerHeartbeat: Engine['workerHeartbeat'] = async (...beat) => {
      if (beat[1] === false) {
        isLeaving()
        await handedOver
      }
      return engine.workerHeartbeat(...beat)
    }
    const { ended, stop } = watching(() => done(), { engine: { ...engine, workerHeartbeat } })
    await untilAsleep()
    const stopped = stop()
    await leaving
    const id = await propose()
    goOn()
    await stopped
    expect(await ended).toMatchObject({ succeeded: 0, released: 1 })
    expect(await stepOf(id)).toMatchObject({ status: 'queued', failure_count: 0 })
  })
})
