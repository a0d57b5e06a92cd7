import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { contract, ISO, lease, only, template, UUID, unique } from './support.js'

contract('steps', (scene) => {
  /** A mission with these steps, the first of them claimed. */
  async function claimed(steps?: Parameters<typeof template>[1]) {
    const executor = unique('x')
    const mission_id = await scene().mission(template(executor, steps))
    return { executor, mission_id, step: only(await scene().claim([executor])) }
  }

  const nobody = () => ({ step_id: randomUUID(), token: randomUUID() })

  test('are claimed with a token, a deadline and all that an executor needs', async () => {
    const { step, mission_id, executor } = await claimed([
      { key: 'dig', agent: 'scout', params: { list: ['ä', null, 1.5] }, timeout_seconds: 30, max_retries: 1 },
    ])
    expect(step).toEqual({
      step_id: expect.stringMatching(UUID),
      token: expect.stringMatching(UUID),
      mission_id,
      key: 'dig',
      kind: executor,
      executor,
      agent: 'scout',
      params: { list: ['ä', null, 1.5] },
      inputs: null,
      attempt: 1,
      failure_count: 0,
      max_retries: 1,
      timeout_seconds: 30,
      lease_expires_at: expect.stringMatching(ISO),
      lease_seconds: 60,
      mission_title: `Contract of ${executor}`,
      depth: 0,
      priority: 0,
      run_at: expect.stringMatching(ISO),
    })
    expect(await scene().claim([executor])).toEqual([])
  })

  test('are claimed up to the room of their executor, which leaves the rest to others', async () => {
    const { engine, mission } = scene()
    const [busy, free] = [unique('x'), unique('x')]
    await mission(
      template(
        busy,
        Array.from({ length: 3 }, () => ({ depends_on: [] })),
      ),
    )
    await mission(
      template(
        free,
        Array.from({ length: 3 }, () => ({ depends_on: [] })),
      ),
    )
    const worker = {
      name: 'room',
      version: '0',
      executors: [busy, free],
      concurrency: 1,
      schema_version: 9999,
    }
    const { worker_id } = await engine.registerWorker(worker)
    const ask = (room?: Record<string, number>) =>
      engine.claimSteps({ worker_id, executors: [busy, free], limit: 3, room })
    expect((await ask({ [busy]: 1 })).map((step) => step.executor).toSorted()).toEqual(
      [busy, free, free].toSorted(),
    )
    expect((await ask({ [busy]: 0 })).map((step) => step.executor)).toEqual([free])
    expect((await ask({ [busy]: 1, [free]: 1 })).map((step) => step.executor)).toEqual([busy])
    expect(await ask()).toHaveLength(1)
    await expect(ask({ [busy]: -1 })).rejects.toMatchObject({ code: 'OPS_011' })
  })

  test('are not claimed while claims, or their executor, are paused', async () => {
    const { mission, claim, policy } = scene()
    const executor = unique('x')
    await mission(template(executor))
    await policy('control', { pause: { claims: true } })
    expect(await claim([executor])).toEqual([])
    await policy('control', { pause: { executors: [executor] } })
    expect(await claim([executor])).toEqual([])
    await policy('control', {})
    expect(await claim([executor])).toHaveLength(1)
  })

  test('hand their results to the steps that ask for them, and end their mission', async () => {
    const { engine, claim } = scene()
    const { step, executor, mission_id } = await claimed([
      { key: 'first' },
      { key: 'second', params: { text: '{{steps.first.result.found}}' } },
    ])
    const result = { found: ['a', { deep: true }], none: null }
    expect(
      await engine.completeSteps([{ ...lease(step), result, cost_usd: 0.25, meta: { model: 'm' } }]),
    ).toEqual([{ step_id: step.step_id, outcome: 'ok', mission_id, mission_status: 'running' }])
    const second = only(await claim([executor]))
    expect(second).toMatchObject({ key: 'second', inputs: { first: result } })
    const event = { type: 'app:found', data: { n: 1 }, dedupe_key: unique('found') }
    expect(await engine.completeSteps([{ ...lease(second), result: 'text', events: [event] }])).toMatchObject(
      [{ outcome: 'ok', mission_status: 'succeeded' }],
    )
    const emitted = (await engine.trace(second.step_id)).filter(({ entity }) => entity === 'event')
    expect(emitted.map(({ summary }) => summary).sort()).toEqual(['app:found', 'mission:succeeded'])
  })

  test('are written by the holder of the token alone: a wrong one is lost and changes nothing', async () => {
    const { engine } = scene()
    const { step } = await claimed()
    const wrong = { step_id: step.step_id, token: randomUUID() }
    expect(await engine.renewSteps([wrong])).toMatchObject([{ outcome: 'lost', lease_expires_at: null }])
    expect(await engine.completeSteps([{ ...wrong, result: 1 }])).toMatchObject([{ outcome: 'lost' }])
    expect(await engine.failSteps([{ ...wrong, error: 'x' }])).toMatchObject([{ outcome: 'lost' }])
    expect(await engine.snoozeSteps([{ ...wrong, seconds: 1 }])).toMatchObject([
      { outcome: 'lost', run_at: null },
    ])
    expect(await engine.releaseSteps([wrong])).toMatchObject([{ outcome: 'lost' }])
    expect(await engine.completeSteps([lease(step)])).toMatchObject([
      { outcome: 'ok', mission_status: 'succeeded' },
    ])
    expect(await engine.completeSteps([lease(step)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('that are not there are lost, beside one that is', async () => {
    const { engine } = scene()
    const { step } = await claimed()
    const gone = nobody()
    const outcomes = await engine.completeSteps([{ ...gone }, lease(step)])
    expect(new Map(outcomes.map(({ step_id, outcome }) => [step_id, outcome]))).toEqual(
      new Map([
        [gone.step_id, 'lost'],
        [step.step_id, 'ok'],
      ]),
    )
  })

  test('keep their lease as long as it is renewed', async () => {
    const { engine } = scene()
    const { step } = await claimed()
    const [renewed] = await engine.renewSteps([lease(step)], 3600)
    expect(renewed).toMatchObject({ step_id: step.step_id, outcome: 'ok' })
    const gained = Date.parse(renewed?.lease_expires_at ?? '') - Date.parse(step.lease_expires_at)
    expect(gained).toBeGreaterThan(3_500_000)
  })

  test('are tried again after a failure, and dead after the last', async () => {
    const { engine, claim } = scene()
    const { step, executor } = await claimed([{ max_retries: 2 }])
    const failed = only(
      await engine.failSteps([{ ...lease(step), error: 'no answer', retry_after_seconds: 0 }]),
    )
    expect(failed).toMatchObject({ outcome: 'ok', step_status: 'queued', run_at: expect.stringMatching(ISO) })
    const again = only(await claim([executor]))
    expect(again).toMatchObject({ step_id: step.step_id, attempt: 2, failure_count: 1 })
    expect(again.token).not.toBe(step.token)
    expect(await engine.failSteps([{ ...lease(again), error: 'no answer' }])).toMatchObject([
      { outcome: 'ok', step_status: 'failed', run_at: null, mission_status: 'failed' },
    ])
  })

  test('are dead at once after a permanent failure', async () => {
    const { step } = await claimed()
    const failures = [{ ...lease(step), error: 'forbidden', permanent: true, meta: { status: 403 } }]
    expect(await scene().engine.failSteps(failures)).toMatchObject([
      { step_status: 'failed', mission_status: 'failed' },
    ])
  })

  test('can be put off or handed back at no failure', async () => {
    const { engine, claim } = scene()
    const { step, executor } = await claimed()
    expect(await engine.releaseSteps([lease(step)])).toEqual([{ step_id: step.step_id, outcome: 'ok' }])
    const again = only(await claim([executor]))
    expect(again.failure_count).toBe(0)
    const snoozed = only(await engine.snoozeSteps([{ ...lease(again), seconds: 3600, reason: 'rate limit' }]))
    expect(snoozed).toEqual({ step_id: step.step_id, outcome: 'ok', run_at: expect.stringMatching(ISO) })
    expect(await claim([executor])).toEqual([])
  })

  test('of a worker that fell silent are requeued, and its token is void', async () => {
    const { engine, sql } = scene()
    const { step } = await claimed()
    expect(await engine.recoverExpiredLeases()).toEqual({ requeued_steps: 0, failed_steps: 0 })
    await sql`update public.ops_mission_steps set lease_expires_at = now() - interval '1 minute' where id = ${step.step_id}`
    expect(await engine.recoverExpiredLeases(100)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await engine.completeSteps([lease(step)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('that run on for ever are stale', async () => {
    const { engine, sql } = scene()
    const { step } = await claimed()
    expect(await engine.recoverStaleSteps()).toEqual({ recovered_steps: 0 })
    await sql`update public.ops_mission_steps set reserved_at = now() - interval '20 minutes' where id = ${step.step_id}`
    expect(await engine.recoverStaleSteps(30)).toEqual({ recovered_steps: 0 })
    expect(await engine.recoverStaleSteps(10)).toEqual({ recovered_steps: 1 })
    expect(await engine.renewSteps([lease(step)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('nothing to write is no call', async () => {
    const { engine } = scene()
    expect(await engine.renewSteps([])).toEqual([])
    expect(await engine.completeSteps([])).toEqual([])
    expect(await engine.failSteps([])).toEqual([])
    expect(await engine.snoozeSteps([])).toEqual([])
    expect(await engine.releaseSteps([])).toEqual([])
  })
})

contract('workers', (scene) => {
  const worker = {
    name: 'w',
    version: '1.0.0',
    executors: ['noop', 'a"b', 'c\\d'],
    concurrency: 2,
    schema_version: 9999,
  }

  test('are told what they work under', async () => {
    const { engine } = scene()
    const settings = await engine.registerWorker({ ...worker, settings: { max_retries: 7 } })
    expect(settings).toEqual({
      worker_id: expect.stringMatching(UUID),
      schema_version: expect.any(Number),
      worker_policy: expect.any(Object),
      agent_roles: expect.any(Object),
      control: expect.any(Object),
    })
    expect(await engine.workerHeartbeat(settings.worker_id)).toEqual(settings)
    expect(await engine.workerHeartbeat(settings.worker_id, true)).toEqual(settings)
  })

  test('that sleep are handed a step of what they take, with the lease that they wish', async () => {
    const { engine, mission } = scene()
    const executor = unique('asleep')
    const { worker_id } = await engine.registerWorker({ ...worker, executors: [executor] })
    const channel = `ops_hand_${randomUUID().replaceAll('-', '')}`
    await engine.workerHeartbeat(worker_id, true, undefined, {
      executors: [executor],
      channel,
      lease_seconds: 90,
    })
    const mission_id = await mission(template(executor))
    const handed = only(await engine.handedSteps(worker_id))
    expect(handed).toMatchObject({ mission_id, executor, attempt: 1, lease_seconds: expect.any(Number) })
    expect(handed.lease_seconds).toBeLessThanOrEqual(90)
    expect(only(await engine.renewSteps([lease(handed)]))).toMatchObject({ outcome: 'ok' })
    expect(await engine.handedSteps(worker_id)).toEqual([])
  })

  test('that want to be handed steps name a channel that nobody can guess', async () => {
    const { engine } = scene()
    const { worker_id } = await engine.registerWorker(worker)
    const asking = engine.workerHeartbeat(worker_id, true, undefined, {
      executors: ['noop'],
      channel: 'ops_steps',
    })
    await expect(asking).rejects.toMatchObject({ code: 'OPS_011', details: { path: 'p_channel' } })
  })

  test('older than the schema are turned away', async () => {
    await expect(scene().engine.registerWorker({ ...worker, schema_version: 0 })).rejects.toMatchObject({
      code: 'OPS_011',
      details: { path: 'p_schema_version' },
    })
  })

  test('that nobody knows are told to register', async () => {
    const unknown = scene().engine.workerHeartbeat(randomUUID())
    await expect(unknown).rejects.toMatchObject({ code: 'OPS_013', hint: 'register first' })
  })
})
