import { beforeAll, describe, expect, test } from 'vitest'
import { testApi, UNKNOWN_ID } from '../testing.js'

const { call, db, policy, propose, worker, engine } = await testApi()

beforeAll(async () => {
  await policy('auto_approve', { enabled: true })
  await policy('proposal_caps', {})
})

const stepOf = async (missionId: string | null) => {
  const [step] = await engine.listSteps({ mission_id: missionId ?? UNKNOWN_ID })
  return step?.id ?? UNKNOWN_ID
}

describe('missions', () => {
  test('are listed by status and shown', async () => {
    const { mission_id } = await propose({ title: 'Watched' })
    await worker.succeed()
    expect(await call('GET', '/api/ops/missions?status=succeeded')).toMatchObject({
      status: 200,
      body: { items: [{ id: mission_id, title: 'Watched' }], next: null },
    })
    expect(await call('GET', `/api/ops/missions/${mission_id}`)).toMatchObject({
      status: 200,
      body: { id: mission_id, status: 'succeeded', completed_at: expect.any(String) },
    })
    expect(await call('GET', `/api/ops/missions/${UNKNOWN_ID}`)).toMatchObject({ status: 404 })
    expect(await call('GET', '/api/ops/missions?status=odd')).toMatchObject({ status: 422 })
  })

  test('are cancelled, and doing it again changes nothing', async () => {
    const { mission_id } = await propose()
    const path = `/api/ops/missions/${mission_id}/cancel`
    expect(await call('POST', path, { actor: 'ada', reason: 'no longer needed' })).toMatchObject({
      status: 200,
      body: { mission_id, status: 'cancelled', cancelled_steps: 1 },
    })
    expect(await call('POST', path)).toMatchObject({
      status: 200,
      body: { status: 'cancelled', cancelled_steps: 0 },
    })
    expect(await call('POST', `/api/ops/missions/${UNKNOWN_ID}/cancel`)).toMatchObject({
      status: 404,
      body: { code: 'OPS_013' },
    })
    expect(await call('POST', path, { who: 'ada' })).toMatchObject({ status: 422, body: { code: 'OPS_011' } })
  })
})

describe('steps', () => {
  test('are shown one by one, as events are', async () => {
    const { mission_id } = await propose()
    const id = await stepOf(mission_id)
    const shown = await call('GET', `/api/ops/steps/${id}`)
    expect(shown).toMatchObject({ status: 200, body: { id, mission_id, status: 'queued', kind: 'noop' } })
    expect(shown.body).not.toHaveProperty('lease_token')
    const [stored] = await engine.emitEvents([{ type: 'work:shown', data: { n: 1 } }])
    expect(await call('GET', `/api/ops/events/${stored?.event_id}`)).toMatchObject({
      status: 200,
      body: { id: stored?.event_id, type: 'work:shown', data: { n: 1 } },
    })
    for (const kind of ['steps', 'events']) {
      expect(await call('GET', `/api/ops/${kind}/${UNKNOWN_ID}`)).toMatchObject({
        status: 404,
        body: { code: 'OPS_013' },
      })
      expect(await call('GET', `/api/ops/${kind}/odd`)).toMatchObject({
        status: 422,
        body: { details: { path: 'id' } },
      })
    }
    await worker.succeed()
  })

  test('are listed by mission, status and kind, without their lease token', async () => {
    const { mission_id } = await propose()
    const answer = await call(
      'GET',
      `/api/ops/steps?mission_id=${mission_id}&status=queued&kind=noop&executor=noop`,
    )
    expect(answer).toMatchObject({
      status: 200,
      body: { items: [{ mission_id, status: 'queued', kind: 'noop' }] },
    })
    expect(JSON.stringify(answer.body)).not.toContain('lease_token')
    expect(await call('GET', `/api/ops/steps?mission_id=${mission_id}&kind=other`)).toMatchObject({
      body: { items: [] },
    })
    await call('POST', `/api/ops/missions/${mission_id}/cancel`)
  })

  test('that are dead go back to work with their mission, without a body too', async () => {
    const { mission_id } = await propose()
    const step_id = await worker.fail()
    expect(await call('POST', `/api/ops/steps/${step_id}/retry`)).toMatchObject({
      status: 200,
      body: { step_id, status: 'queued', mission_id, mission_status: 'running' },
    })
    expect(await call('POST', `/api/ops/steps/${step_id}/retry`, { actor: 'ada' })).toMatchObject({
      status: 409,
      body: { code: 'OPS_014' },
    })
    expect(await worker.succeed()).toBe(step_id)
    expect(await call('POST', `/api/ops/steps/${UNKNOWN_ID}/retry`)).toMatchObject({ status: 404 })
  })

  test('that are dead are retried in bulk, by kind', async () => {
    await propose()
    const step_id = await worker.fail()
    expect(await call('POST', '/api/ops/steps/dead/retry', { kind: 'other' })).toMatchObject({
      status: 200,
      body: { items: [] },
    })
    expect(
      await call('POST', '/api/ops/steps/dead/retry', { kind: 'noop', limit: 5, actor: 'ada' }),
    ).toMatchObject({
      status: 200,
      body: { items: [{ step_id }] },
    })
    expect(await call('POST', '/api/ops/steps/dead/retry', { limit: 0 })).toMatchObject({ status: 422 })
    await worker.succeed()
  })

  test('are cancelled, and doing it again changes nothing', async () => {
    const { mission_id } = await propose()
    const step_id = await stepOf(mission_id)
    expect(await call('POST', `/api/ops/steps/${step_id}/cancel`, { reason: 'not this one' })).toMatchObject({
      status: 200,
      body: { step_id, status: 'cancelled' },
    })
    expect(await call('POST', `/api/ops/steps/${step_id}/cancel`)).toMatchObject({
      body: { status: 'cancelled' },
    })
    expect(await call('POST', `/api/ops/steps/${UNKNOWN_ID}/cancel`)).toMatchObject({ status: 404 })
  })
})

describe('GET /api/ops/trace/:id', () => {
  test('tells the whole chain from any of its ids', async () => {
    const { proposal_id, mission_id } = await propose({ title: 'Traced' })
    const step_id = await worker.succeed()
    for (const id of [proposal_id, mission_id, step_id]) {
      expect(await call('GET', `/api/ops/trace/${id}`)).toMatchObject({
        status: 200,
        body: {
          items: expect.arrayContaining([
            expect.objectContaining({ entity: 'proposal', id: proposal_id, parent_id: null }),
            expect.objectContaining({ entity: 'mission', id: mission_id, parent_id: proposal_id }),
            expect.objectContaining({ entity: 'step', id: step_id, parent_id: mission_id }),
            expect.objectContaining({ entity: 'run', parent_id: step_id }),
          ]),
        },
      })
    }
  })

  test('an unknown id is not found', async () => {
    expect(await call('GET', `/api/ops/trace/${UNKNOWN_ID}`)).toMatchObject({
      status: 404,
      body: { code: 'OPS_013' },
    })
    expect(await call('GET', '/api/ops/trace/x')).toMatchObject({ status: 422 })
  })
})

describe('a restored copy', () => {
  test('says that it waits, and goes on when an operator says so', async () => {
    const { mission_id } = await propose()
    await db.sql`insert into ops.homes (identity, actor) values ('elsewhere', '{}')`
    expect(await call('GET', '/api/ops/hold')).toMatchObject({
      status: 200,
      body: { held: true, home: 'elsewhere', steps_queued: 1 },
    })
    await expect(worker.claim()).rejects.toThrow('no step')
    const release = () => call('POST', '/api/ops/hold/release', { actor: 'dana' })
    expect(await release()).toMatchObject({ status: 200, body: { released: true } })
    expect(await release()).toMatchObject({ status: 200, body: { released: false } })
    expect(await worker.succeed()).toBe(await stepOf(mission_id))
    expect(await call('GET', '/api/ops/hold')).toMatchObject({ body: { held: false } })
    const [home] = await db.sql`select released_by from ops.homes order by id desc limit 1`
    expect(home).toEqual({ released_by: 'dana' })
  })
})
