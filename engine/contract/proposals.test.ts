import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { contract, only, template, UUID, unique } from './support.js'

contract('proposals', (scene) => {
  const risky = (executor: string) => ({ ...template(executor), risk_level: 'high' as const })

  async function pending(dedupe_key?: string) {
    const { engine } = scene()
    const proposal = await engine.createProposal({ source: 'api', template: risky(unique('x')), dedupe_key })
    expect(proposal).toMatchObject({ status: 'pending', code: 'pending_approval', mission_id: null })
    return proposal.proposal_id
  }

  test('that policy covers are approved at once', async () => {
    const outcome = await scene().engine.createProposal({ source: 'api', template: template(unique('x')) })
    expect(outcome).toEqual({
      proposal_id: expect.stringMatching(UUID),
      status: 'auto_approved',
      mission_id: expect.stringMatching(UUID),
      reason: expect.any(String),
      code: 'auto_approved',
      verdict: { day: expect.any(String), time_zone: expect.any(String), counted: expect.any(Array) },
    })
  })

  test('beyond a cap are rejected, as a value, with the reason', async () => {
    const outcome = await scene().engine.createProposal({ source: 'capped', template: template(unique('x')) })
    expect(outcome).toMatchObject({
      status: 'rejected',
      mission_id: null,
      code: expect.stringMatching(/^cap_/),
    })
    expect(outcome.reason).toMatch(/capped/)
  })

  test.each([
    ['without steps', { title: 'T' }, 'steps'],
    ['with an unknown field', { ...template('x'), stesp: [] }, 'stesp'],
    ['with a step without kind', { title: 'T', steps: [{ kind: 'x' }, {}] }, 'steps[1].kind'],
  ])('with an invalid template are OPS_004 with the path: %s', async (_, invalid, path) => {
    await expect(scene().engine.createProposal({ source: 'api', template: invalid })).rejects.toMatchObject({
      name: 'OpsError',
      code: 'OPS_004',
      message: expect.stringContaining(path),
      details: { path },
    })
  })

  test('are counted beside the limits in force', async () => {
    const { engine } = scene()
    const source = unique('source')
    const usage = async () => (await engine.capUsage()).find(({ name }) => name === source)
    expect(await usage()).toBeUndefined()
    await engine.createProposal({ source, template: template(unique('x')) })
    expect(await usage()).toEqual({
      day: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      scope: 'source',
      name: source,
      used: expect.any(Number),
      max_units: null,
      used_usd: 0,
      max_usd: null,
    })
    expect((await usage())?.used).toBeGreaterThan(0)
  })

  test('of live work are answered with that work', async () => {
    const { engine } = scene()
    const proposal = { source: 'api', template: template(unique('x')), dedupe_key: unique('key') }
    const first = await engine.createProposal(proposal)
    expect(await engine.createProposal(proposal)).toMatchObject({
      proposal_id: first.proposal_id,
      mission_id: first.mission_id,
      code: 'duplicate',
    })
  })

  test('in a batch stand for themselves', async () => {
    const executor = unique('x')
    const outcomes = await scene().engine.createProposals([
      { source: 'api', template: template(executor), idempotency_key: unique('key') },
      { source: 'api', template: { title: 'No steps' } },
      { source: 'capped', template: template(executor) },
      { source: 'api', template: risky(executor), proposed_by: 'scout' },
    ])
    expect(outcomes.map(({ ordinal, status }) => [ordinal, status])).toEqual([
      [1, 'auto_approved'],
      [2, 'invalid'],
      [3, 'rejected'],
      [4, 'pending'],
    ])
    expect(outcomes[1]).toMatchObject({ proposal_id: null, code: 'OPS_004' })
    expect(await scene().engine.createProposals([])).toEqual([])
  })

  test('can be tried at the gate, by template and by id, without a trace', async () => {
    const { engine } = scene()
    const before = await engine.listProposals({}, 1)
    expect(await engine.gateProposal(template(unique('x')))).toMatchObject({
      ok: true,
      code: 'auto_approved',
    })
    expect(await engine.gateProposal(risky(unique('x')))).toMatchObject({
      ok: false,
      code: 'pending_approval',
    })
    expect(await engine.gateProposal({ title: 'No steps' })).toMatchObject({ ok: false, code: 'OPS_004' })
    expect(await engine.listProposals({}, 1)).toEqual(before)
    expect(await engine.gateProposal(await pending())).toMatchObject({ ok: false, code: 'pending_approval' })
  })

  test('wait for a person, who approves what was shown, once', async () => {
    const { engine } = scene()
    const id = await pending()
    const { digest } = only(await engine.listProposals({ status: 'pending' }, 1))
    await expect(engine.approveProposal(id, { actor: 'dana', digest: 'other' })).rejects.toMatchObject({
      code: 'OPS_009',
    })
    expect(
      await engine.approveProposal(id, { actor: 'dana', digest: digest ?? '', note: 'go' }),
    ).toMatchObject({
      proposal_id: id,
      status: 'approved',
      mission_id: expect.stringMatching(UUID),
      reason: 'go',
    })
    await expect(engine.approveProposal(id, { actor: 'dana' })).rejects.toMatchObject({
      code: 'OPS_009',
      hint: 'a proposal is decided once',
    })
  })

  test('can be rejected, which frees their dedupe key', async () => {
    const { engine } = scene()
    const key = unique('key')
    const id = await pending(key)
    expect(await engine.rejectProposal(id, { actor: 'dana', note: 'not now' })).toMatchObject({
      proposal_id: id,
      status: 'rejected',
      mission_id: null,
      reason: 'not now',
    })
    expect(await pending(key)).not.toBe(id)
  })

  test('expire when nobody decides', async () => {
    const { engine, sql } = scene()
    const id = await pending()
    expect(await engine.expireProposals()).toBe(0)
    await sql`update public.ops_mission_proposals set expires_at = now() - interval '1 minute' where id = ${id}`
    expect(await engine.expireProposals(10)).toBe(1)
    expect(only(await engine.listProposals({ status: 'expired' }))).toMatchObject({ id, status: 'expired' })
  })

  test('cannot be decided where there is none, by nobody, or while approvals are paused', async () => {
    const { engine, policy } = scene()
    const id = await pending()
    await expect(engine.approveProposal(randomUUID(), { actor: 'dana' })).rejects.toMatchObject({
      code: 'OPS_013',
    })
    await expect(engine.rejectProposal('nonsense', { actor: 'dana' })).rejects.toMatchObject({
      code: 'OPS_011',
    })
    await expect(engine.rejectProposal(id, { actor: '' })).rejects.toMatchObject({ code: 'OPS_011' })
    await policy('control', { pause: { approvals: true } })
    await expect(engine.approveProposal(id, { actor: 'dana' })).rejects.toMatchObject({ code: 'OPS_015' })
    await policy('control', {})
  })
})
