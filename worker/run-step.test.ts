import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { type ClaimedStep, type EventInput, OpsError } from '../engine/index.js'
import {
  defineExecutor,
  done,
  type Executor,
  type ExecutorContext,
  fail,
  type Log,
  type Outcome,
  retry,
  snooze,
} from '../executors/define.js'
import { defaultPolicy } from '../executors/testing.js'
import { Attempt, type StopCause } from './attempt.js'
import { createMask } from './mask.js'
import { runStep, type Workshop } from './run-step.js'
import type { Verdict } from './verdict.js'

const SECRET = 'hunter22'
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

type Context = ExecutorContext<{ name?: string | undefined }>

function executor(run: (context: Context) => Outcome | Promise<Outcome>): Executor {
  return defineExecutor({
    kind: 'test',
    params: z.strictObject({ name: z.string().optional() }),
    env: ['VISIBLE'],
    run,
  })
}

function claimed(overrides: Partial<ClaimedStep> = {}): ClaimedStep {
  return {
    step_id: 'a-step',
    token: 'a-token',
    mission_id: 'a-mission',
    key: 'step-1',
    kind: 'test:scout',
    executor: 'test',
    agent: 'scout',
    params: {},
    inputs: null,
    attempt: 1,
    failure_count: 0,
    max_retries: 3,
    timeout_seconds: null,
    lease_expires_at: '2026-01-01T00:00:00Z',
    lease_seconds: 300,
    mission_title: 'A mission',
    depth: 0,
    priority: 0,
    run_at: '2026-01-31T09:00:00+00:00',
    ...overrides,
  }
}

function workshop(offered: Executor): Workshop {
  const noEngine = () => Promise.reject(new OpsError('OPS_013', 'there is no such radar item'))
  return {
    executors: new Map([[offered.kind, offered]]),
    engine: { radarAdd: noEngine, radarUpdate: noEngine, radarList: noEngine },
    envOf: () => ({ VISIBLE: 'yes' }),
    roleOf: (agent) => (agent === 'scout' ? { model: 'small' } : undefined),
    policy: () => defaultPolicy,
    mask: createMask([SECRET]),
    log: silent,
  }
}

function run(
  body: (context: Context) => Outcome | Promise<Outcome>,
  step: Partial<ClaimedStep> = {},
  attempt = new Attempt(null),
) {
  return verdictOn(claimed(step), attempt, executor(body))
}

const verdictOn = (step: ClaimedStep, attempt: Attempt, by: Executor) =>
  new Promise<Verdict>((onVerdict) => runStep(step, attempt, workshop(by), onVerdict))

describe('what an executor is given', () => {
  it('is the step, its role and its environment, and nothing of the lease', async () => {
    let seen: Context | undefined
    await run(
      (context) => {
        seen = context
        return done()
      },
      { attempt: 2 },
    )
    expect(seen).toMatchObject({
      step: {
        step_id: 'a-step',
        mission_title: 'A mission',
        key: 'step-1',
        kind: 'test:scout',
        agent: 'scout',
      },
      idempotencyKey: 'a-step',
      attempt: 2,
      role: { model: 'small' },
      env: { VISIBLE: 'yes' },
      inputs: {},
    })
    expect(JSON.stringify(seen)).not.toContain('a-token')
  })

  it('is its params, with the results of earlier steps filled in', async () => {
    const verdict = await run(({ params, inputs }) => done({ params, inputs }), {
      params: { name: '{{steps.look.result.name}}' },
      inputs: { look: { name: 'Ada' } },
    })
    expect(verdict).toMatchObject({
      kind: 'complete',
      result: { params: { name: 'Ada' }, inputs: { look: { name: 'Ada' } } },
    })
  })
})

describe('an outcome becomes a verdict', () => {
  it('done', async () => {
    const verdict = await run(() => done({ a: 1 }, { cost_usd: 0.5, meta: { tokens: 7 } }))
    expect(verdict).toMatchObject({ kind: 'complete', result: { a: 1 }, cost_usd: 0.5, meta: { tokens: 7 } })
  })

  it('retry', async () => {
    const verdict = await run(() => retry({ error: new Error('busy'), afterSeconds: 30 }))
    expect(verdict).toMatchObject({ kind: 'fail', error: 'busy', retry_after_seconds: 30 })
    expect(verdict).not.toMatchObject({ permanent: true })
  })

  it('fail', async () => {
    expect(await run(() => fail('no'))).toMatchObject({ kind: 'fail', error: 'no', permanent: true })
  })

  it('snooze', async () => {
    expect(await run(() => snooze(60, 'not yet'))).toEqual({ kind: 'snooze', seconds: 60, reason: 'not yet' })
  })

  it('a thrown error: retried, with its cause', async () => {
    const verdict = await run(() => {
      throw new Error('fetch failed', { cause: new Error('ECONNREFUSED') })
    })
    expect(verdict).toMatchObject({ kind: 'fail', error: 'fetch failed: ECONNREFUSED', permanent: false })
  })

  it.each<[string, () => unknown]>([
    ['an object that has no text', () => Object.create(null)],
    ['an error whose message is no text', () => Object.assign(new Error(), { message: { code: 7 } })],
    ['an error whose cause has no text', () => new Error('failed', { cause: Object.create(null) })],
    [
      'an error that cannot be read',
      () =>
        Object.defineProperty(new Error(), 'message', {
          get() {
            throw new Error('no')
          },
        }),
    ],
  ])('%s, thrown or rejected: retried like any other', async (_name, make) => {
    const failed = { kind: 'fail', error: expect.any(String), permanent: false }
    const throwing = () => {
      throw make()
    }
    expect(await run(throwing)).toMatchObject(failed)
    expect(await run(async () => throwing())).toMatchObject(failed)
  })

  it("the engine's own refusal: permanent", async () => {
    const verdict = await run(async ({ engine }) => done(await engine.radarList()))
    expect(verdict).toMatchObject({ kind: 'fail', error: 'there is no such radar item', permanent: true })
  })

  it.each([
    ['nothing', undefined],
    ['something else', { ok: true }],
    ['a negative cost', { outcome: 'done', result: 1, cost_usd: -1 }],
  ])('%s: a permanent failure that says what to return', async (_name, returned) => {
    const plainJavaScript: Executor = {
      ...executor(() => done()),
      prepare: async () => ({ ok: true, run: async () => JSON.parse(JSON.stringify(returned ?? null)) }),
    }
    const verdict = await verdictOn(claimed(), new Attempt(null), plainJavaScript)
    expect(verdict).toMatchObject({
      kind: 'fail',
      permanent: true,
      error: expect.stringContaining('done(…)'),
    })
  })
})

describe('an executor that is none', () => {
  it.each<[string, () => unknown]>([
    ['prepares nothing', () => undefined],
    ['promises to, and does not', async () => undefined],
    ['prepares what cannot be run', () => ({ ok: true })],
    ['refuses without a reason', () => ({ ok: false })],
  ])('%s: its step fails, and no other', async (_name, prepare) => {
    const broken = Object.assign(
      executor(() => done()),
      { prepare },
    )
    const verdict = await verdictOn(claimed(), new Attempt(null), broken as unknown as Executor)
    expect(verdict).toMatchObject({
      kind: 'fail',
      permanent: true,
      error: expect.stringContaining('prepare'),
    })
  })
})

describe('a permanent failure', () => {
  it('meets a step whose executor this worker does not have', async () => {
    const verdict = await run(() => done(), { executor: 'other' })
    expect(verdict).toMatchObject({ kind: 'fail', permanent: true, meta: { code: 'OPS_005' } })
  })

  it('meets params that refer to a result that is not there', async () => {
    const verdict = await run(() => done(), {
      params: { name: '{{steps.look.result.gone}}' },
      inputs: { look: {} },
    })
    expect(verdict).toMatchObject({
      kind: 'fail',
      permanent: true,
      meta: { code: 'OPS_004', paths: ['params.name'] },
    })
  })

  it('meets params that the executor does not accept, naming the path', async () => {
    const verdict = await run(() => done(), { params: { name: 7 } })
    expect(verdict).toMatchObject({
      kind: 'fail',
      permanent: true,
      error: expect.stringMatching(/^OPS_011: params\.name: /),
      meta: { code: 'OPS_011', paths: ['params.name'] },
    })
  })

  it('meets a result that cannot be stored, naming the path', async () => {
    const verdict = await run(() => done({ log: 'a\0b' }))
    expect(verdict).toMatchObject({
      kind: 'fail',
      permanent: true,
      error: expect.stringMatching(/^OPS_011: result\.log holds a NUL/),
    })
  })
})

describe('secrets', () => {
  it.each([
    ['results', () => done({ text: SECRET }, { meta: { text: SECRET } })],
    ['errors', () => retry({ error: `wrong: ${SECRET}` })],
    ['permanent errors', () => fail(new Error(SECRET))],
    ['reasons to snooze', () => snooze(1, SECRET)],
    [
      'thrown errors',
      () => {
        throw new Error(SECRET)
      },
    ],
  ])('do not get into %s', async (_name, body) => {
    const verdict = JSON.stringify(await run(body))
    expect(verdict).toContain('[masked]')
    expect(verdict).not.toContain(SECRET)
  })
})

describe('emitted events', () => {
  it('go with the outcome, masked', async () => {
    const verdict = await run(({ emit }) => {
      emit({ type: 'found', data: { text: SECRET }, dedupe_key: 'k' })
      return done()
    })
    expect(verdict).toMatchObject({
      events: [{ type: 'found', data: { text: '[masked]' }, dedupe_key: 'k' }],
    })
  })

  it.each([
    ['an invalid type', { type: 'not a type' }, 'not a type'],
    ["the engine's own types", { type: 'mission:succeeded' }, "engine's own"],
    ['data that cannot be stored', { type: 'found', data: { a: '\0' } }, 'NUL'],
    ['no type', {}, 'event type'],
    ['a type that is no text', { type: 7 }, 'event type'],
    ['a key that is no text', { type: 'found', dedupe_key: 7 }, 'dedupe_key'],
  ])('with %s are refused', async (_name, event, message) => {
    for (const mask of [createMask([SECRET]), createMask([])]) {
      const emitting = executor(({ emit }) => {
        // Plain JavaScript may emit anything.
        emit(event as EventInput)
        return done()
      })
      const verdict = await new Promise<Verdict>((onVerdict) =>
        runStep(claimed(), new Attempt(null), { ...workshop(emitting), mask }, onVerdict),
      )
      expect(verdict).toMatchObject({ kind: 'fail', error: expect.stringContaining(message) })
    }
  })
})

describe('an attempt that is stopped', () => {
  type Body = (context: Context) => Promise<Outcome>
  const ignoresIt: Body = () => new Promise(() => {})
  const heedsIt: Body = ({ signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const getsDone: Body = ({ signal }) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(done('just in time'))))

  /** Runs a step and stops it when its executor is at work. */
  function stopped(cause: StopCause, body: Body) {
    const attempt = new Attempt(null)
    const stoppedAtWork: Body = (context) => {
      const outcome = body(context)
      attempt.stop(cause, 'stopped')
      return outcome
    }
    return run(stoppedAtWork, { timeout_seconds: 5 }, attempt)
  }

  it.each([
    ['heeds', heedsIt],
    ['ignores', ignoresIt],
    ['gets done at', getsDone],
  ])('by its timeout fails to be retried, even when the executor %s its signal', async (_name, body) => {
    expect(await stopped('timeout', body)).toMatchObject({ kind: 'fail', error: 'timed out after 5 s' })
  })

  it('by its timeout is recorded when the executor has wound down, not while its programs still run', async () => {
    let woundDown = () => {}
    const windsDown: Body = ({ signal }) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          woundDown = () => resolve(done())
        }),
      )
    let isRecorded = false
    const verdict = stopped('timeout', windsDown).then((found) => {
      isRecorded = true
      return found
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(isRecorded).toBe(false)
    woundDown()
    expect(await verdict).toMatchObject({ kind: 'fail', error: 'timed out after 5 s' })
  })

  it('by the loss of its lease leaves nothing to record', async () => {
    expect(await stopped('lost', heedsIt)).toEqual({ kind: 'nothing' })
  })

  it('by the loss of its lease still sends a result, as evidence', async () => {
    expect(await stopped('lost', getsDone)).toMatchObject({ kind: 'complete', result: 'just in time' })
  })

  it('by the loss of its lease is given up in the end when the executor ignores its signal: others need its place', async () => {
    vi.useFakeTimers()
    const verdict = stopped('lost', ignoresIt)
    await vi.runAllTimersAsync()
    expect(await verdict).toEqual({ kind: 'nothing' })
    vi.useRealTimers()
  })

  it('by a worker that leaves is handed back', async () => {
    expect(await stopped('released', heedsIt)).toEqual({ kind: 'release' })
  })

  it('by a worker that leaves is handed back when the executor ignores its signal', async () => {
    vi.useFakeTimers()
    const verdict = stopped('released', ignoresIt)
    await vi.runAllTimersAsync()
    expect(await verdict).toEqual({ kind: 'release' })
    vi.useRealTimers()
  })

  it('by a worker that leaves is recorded when it gets done all the same', async () => {
    expect(await stopped('released', getsDone)).toMatchObject({ kind: 'complete', result: 'just in time' })
  })

  it('before it began is not begun', async () => {
    const attempt = new Attempt(null)
    attempt.stop('released', 'leaving')
    const begun: string[] = []
    const verdict = await run(() => done(begun.push('begun')), {}, attempt)
    expect([verdict, begun]).toEqual([{ kind: 'release' }, []])
  })
})
