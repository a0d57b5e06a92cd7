import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { contract, ISO, lease, only, template, UUID, unique } from './support.js'

contract('operators', (scene) => {
  /** A mission of three steps whose first is dead. */
  async function deadMission() {
    const { engine, mission, claim } = scene()
    const executor = unique('x')
    const mission_id = await mission(template(executor, [{}, {}, {}]))
    const step = only(await claim([executor]))
    await engine.failSteps([{ ...lease(step), error: 'broken', permanent: true }])
    return { mission_id, step_id: step.step_id, executor }
  }

  test('cancel a mission, once', async () => {
    const { engine, mission } = scene()
    const mission_id = await mission(template(unique('x'), [{}, {}]))
    const by = { actor: 'dana', reason: 'not needed' }
    expect(await engine.cancelMission(mission_id, by)).toEqual({
      mission_id,
      status: 'cancelled',
      cancelled_steps: 2,
    })
    expect(await engine.cancelMission(mission_id, by)).toEqual({
      mission_id,
      status: 'cancelled',
      cancelled_steps: 0,
    })
  })

  test('see that nothing is held, and release nothing', async () => {
    const { engine } = scene()
    expect(await engine.hold()).toMatchObject({ held: false, here: expect.stringContaining('/') })
    expect(await engine.releaseHold({ actor: 'dana' })).toEqual({ released: false, steps_running: 0 })
    await expect(engine.releaseHold({ actor: '' })).rejects.toMatchObject({ code: 'OPS_011' })
  })

  test('cancel a step', async () => {
    const { engine, mission } = scene()
    const mission_id = await mission(template(unique('x')))
    const { id } = only(await engine.listSteps({ mission_id }))
    expect(await engine.cancelStep(id, { actor: 'dana' })).toEqual({
      step_id: id,
      status: 'cancelled',
      mission_status: 'cancelled',
    })
  })

  test('retry a dead step, which reopens its mission', async () => {
    const { mission_id, step_id } = await deadMission()
    expect(await scene().engine.retryStep(step_id, { actor: 'dana' })).toEqual({
      step_id,
      status: 'queued',
      mission_id,
      mission_status: 'running',
      reopened_steps: 2,
    })
    await expect(scene().engine.retryStep(step_id, { actor: 'dana' })).rejects.toMatchObject({
      code: 'OPS_014',
    })
  })

  test('retry all dead steps of a kind', async () => {
    const { mission_id, step_id, executor } = await deadMission()
    const { engine } = scene()
    expect(await engine.retryDeadSteps({ kind: executor, limit: 10, actor: 'dana' })).toEqual([
      { step_id, mission_id },
    ])
    expect(await engine.retryDeadSteps({ kind: executor })).toEqual([])
  })

  test.each([
    ['a mission to cancel', () => scene().engine.cancelMission(randomUUID(), { actor: 'dana' })],
    ['a step to cancel', () => scene().engine.cancelStep(randomUUID(), { actor: 'dana' })],
    ['a step to retry', () => scene().engine.retryStep(randomUUID(), { actor: 'dana' })],
    ['anything to trace', () => scene().engine.trace(randomUUID())],
    ['a policy version', () => scene().engine.rollbackPolicy('auto_approve', 9999)],
    ['a radar item', () => scene().engine.radarUpdate(randomUUID(), { notes: 'x' })],
  ])('hear OPS_013 where there is none: %s', async (_, call) => {
    await expect(call()).rejects.toMatchObject({ name: 'OpsError', code: 'OPS_013' })
  })

  test('hear OPS_011 for an id that is none', async () => {
    await expect(scene().engine.trace('nonsense')).rejects.toMatchObject({ code: 'OPS_011' })
  })

  test('read policies and roll one back', async () => {
    const { engine, policy } = scene()
    await policy('agent_roles', { scout: { instructions: 'first' } })
    const [first] = await engine.policies(['agent_roles', 'nothing'])
    expect(first).toEqual({
      key: 'agent_roles',
      value: { scout: { instructions: 'first' } },
      version: expect.any(Number),
      updated_at: expect.stringMatching(ISO),
    })
    const version = first?.version ?? 0
    await policy('agent_roles', { scout: { instructions: 'second' } })
    expect(await engine.rollbackPolicy('agent_roles', version)).toBe(version + 2)
    expect(await engine.policies(['agent_roles'])).toMatchObject([
      { value: first?.value, version: version + 2 },
    ])
    expect(await engine.policies([])).toEqual([])
    expect((await engine.policies()).map(({ key }) => key)).toEqual(
      expect.arrayContaining(['auto_approve', 'control']),
    )
  })

  test('read no policy again that they know, and what changed', async () => {
    const { engine, policy } = scene()
    await policy('agent_roles', { scout: { instructions: 'known' } })
    const known = await engine.policies(['agent_roles', 'control'])
    const [roles] = known
    const again = await engine.policies(['agent_roles', 'control', 'services'], known)
    expect(again).toEqual(await engine.policies(['agent_roles', 'control', 'services']))
    expect(again[0]).toBe(roles)

    await policy('agent_roles', { scout: { instructions: 'changed' } })
    const [changed, control] = await engine.policies(['agent_roles', 'control'], known)
    expect(changed).toMatchObject({ value: { scout: { instructions: 'changed' } } })
    expect(control).toBe(known[1])
    // Another database may have come to the same version.
    const others = [{ ...known[1], value: {}, updated_at: '2020-01-01T00:00:00+00:00' }] as typeof known
    expect(await engine.policies(['control'], others)).toEqual([control])
  })

  test('page through lists, newest first', async () => {
    const { engine } = scene()
    const type = unique('app:page')
    const emitted = await engine.emitEvents([{ type }, { type }, { type }])
    const page = await engine.listEvents({ type, processed: false }, 2)
    const rest = await engine.listEvents({ type }, 2, page[1]?.id)
    const newest = emitted
      .map(({ event_id }) => event_id)
      .sort()
      .reverse()
    expect([page.length, rest.length]).toEqual([2, 1])
    expect([...page, ...rest].map(({ id }) => id)).toEqual(newest)
    expect(await engine.listEvents({ type, processed: true })).toEqual([])
  })

  test('find missions and steps by their state', async () => {
    const { engine } = scene()
    const { mission_id, step_id, executor } = await deadMission()
    expect((await engine.listMissions({ status: 'failed' })).map(({ id }) => id)).toContain(mission_id)
    expect(await engine.listSteps({ mission_id })).toHaveLength(3)
    expect(only(await engine.listSteps({ kind: executor, executor, status: 'failed' }))).toMatchObject({
      id: step_id,
      last_error: 'broken',
    })
  })

  test('follow what happens', async () => {
    const { engine } = scene()
    const since = new Date(Date.now() - 1000).toISOString()
    const { mission_id } = await deadMission()
    const entries = await engine.timeline(since, 1000)
    expect(entries.find(({ id }) => id === mission_id)).toMatchObject({
      at: expect.stringMatching(ISO),
      entity: 'mission',
      status: 'failed',
      details: { steps_total: 3 },
    })
    expect(entries.map(({ at }) => at)).toEqual(entries.map(({ at }) => at).sort())
  })

  test('write words that Postgres cannot hold, as well as they can be kept', async () => {
    const { engine } = scene()
    const [rule, reason] = [unique('quiet').replace('-', '_'), 'NUL \0, half \ud800, fox 🦊']
    await scene().sql`
      insert into ops.alerts (rule, severity, summary) values (${rule}, 'warning', 'An alert')`
    const { id } = only(await engine.listAlerts({ rule }))
    const words = { actor: 'a\0da', note: reason }
    expect(await engine.acknowledgeAlert(id, words)).toMatchObject({
      acknowledged_by: 'a\ufffdda',
      note: 'NUL \ufffd, half \ufffd, fox 🦊',
    })
    expect(await engine.policies(['contr\0l'])).toEqual([])
  })

  test('see all that they ask for, however long the answer', async () => {
    const { engine, policy } = scene()
    const since = new Date(Date.now() - 1000).toISOString()
    for (const type of ['app:many', 'app:more'])
      await engine.emitEvents(Array.from({ length: 1000 }, () => ({ type })))
    const entries = await engine.timeline(since, 5000)
    const events = entries.filter(({ summary }) => summary === 'app:many' || summary === 'app:more')
    expect(new Set(events.map(({ id }) => id)).size).toBe(2000)
    expect(events.filter(({ at }) => !ISO.test(at))).toEqual([])

    const names = Array.from({ length: 1500 }, (_, n) => `source-${n}`)
    await policy('proposal_caps', {
      daily_limit: 100_000,
      per_source: Object.fromEntries(names.map((name) => [name, 5])),
    })
    const capped = new Set((await engine.capUsage()).map(({ name }) => name))
    expect(names.filter((name) => !capped.has(name))).toEqual([])
    await policy('proposal_caps', { daily_limit: 100_000 })
  })

  test('see the health of the loop, and the last heartbeat', async () => {
    const { engine } = scene()
    const id = await engine.recordHeartbeat(true, { triggerResult: { events: 0, queued: 0 } })
    expect(id).toMatch(UUID)
    const health = await engine.health()
    expect(health.status).toBe('healthy')
    expect(health.queues.steps).toBeTypeOf('number')
    expect(health.last_heartbeat_at).toMatch(ISO)
  })

  test('keep signals on the radar', async () => {
    const { engine } = scene()
    const title = unique('signal')
    const added = await engine.radarAdd({ title, confidence: 'high', impact_areas: ['cost', 'speed'] })
    expect(added).toEqual({ id: expect.stringMatching(UUID), stage: 'watching', created: true })
    const changes = { stage: 'validating', notes: 'looks real' } as const
    expect(await engine.radarUpdate(added.id, changes)).toEqual({
      id: added.id,
      stage: 'validating',
      previous_stage: 'watching',
    })
    expect(await engine.radarList('validating', 10)).toContainEqual(
      expect.objectContaining({ id: added.id, title }),
    )
    expect(await engine.radarList('shipped')).toEqual([])
  })

  test('archive what is old', async () => {
    expect(await scene().engine.archive('90 days', 10)).toEqual({ chains: 0, rows: 0 })
    await expect(scene().engine.archive('1 minute')).rejects.toMatchObject({ code: 'OPS_011' })
  })
})
