import { expect, test } from 'vitest'
import { contract, unique } from './support.js'

contract('policies', (scene) => {
  const versionOf = async (key: string) => (await scene().engine.policies([key]))[0]?.version ?? 0

  test('are applied with the name of who does it, and rolled back so', async () => {
    const { engine } = scene()
    await scene().sql`delete from ops_policy where key = 'approvals'`
    const [created] = await engine.applyPolicies([{ key: 'approvals', value: { expires_minutes: 5 } }], 'ada')
    expect(created).toMatchObject({ key: 'approvals', outcome: 'created', previous_version: 0 })
    const version = created?.version ?? 0
    const input = { key: 'approvals', value: { expires_minutes: 6 }, expected_version: version }
    expect(await engine.applyPolicies([input], 'ada')).toEqual([
      { key: 'approvals', outcome: 'changed', version: version + 1, previous_version: version },
    ])
    expect(await engine.applyPolicies([{ ...input, expected_version: version + 1 }], 'bob')).toMatchObject([
      { outcome: 'unchanged', version: version + 1 },
    ])
    expect(await engine.rollbackPolicy('approvals', version, 'eve')).toBe(version + 2)
    const changes = await engine.policyChanges('approvals', 3)
    expect(changes).toMatchObject([
      { action: 'rollback', version: version + 2, value: { expires_minutes: 5 }, actor: { as: 'eve' } },
      { action: 'update', previous_value: { expires_minutes: 5 }, value: { expires_minutes: 6 } },
      { action: 'insert', previous_version: null, previous_value: null },
    ])
    expect(changes.map(({ changed_by }) => changed_by.replace(/ \(.+\)$/, ''))).toEqual(['eve', 'ada', 'ada'])
    expect(changes[0]?.changed_by).toMatch(/^eve \(.+\)$/)
  })

  test('are deleted by null, with the name of who does it, in the version that was seen', async () => {
    const { engine } = scene()
    const [made] = await engine.applyPolicies([{ key: 'approvals', value: { expires_minutes: 4 } }])
    const version = made?.version ?? 0
    const remove = (expected_version?: number) =>
      engine.applyPolicies([{ key: 'approvals', value: null, expected_version }], 'ada')
    await expect(remove(version + 1)).rejects.toMatchObject({ code: 'OPS_014' })
    const answer = { key: 'approvals', version: 0 }
    expect(await remove(version)).toEqual([{ ...answer, outcome: 'deleted', previous_version: version }])
    expect(await engine.policies(['approvals'])).toEqual([])
    expect(await remove()).toEqual([{ ...answer, outcome: 'unchanged', previous_version: 0 }])
    expect(await engine.policyChanges('approvals', 1)).toMatchObject([
      { action: 'delete', version: null, previous_version: version, actor: { as: 'ada' } },
    ])
    const again = { key: 'approvals', value: { expires_minutes: 4 }, expected_version: 0 }
    expect(await engine.applyPolicies([again])).toMatchObject([{ outcome: 'created', version: version + 1 }])
  })

  test('are applied all or none', async () => {
    const { engine } = scene()
    const [control, approvals] = [await versionOf('control'), await versionOf('approvals')]
    const both = (value: object, expected_version: number) =>
      engine.applyPolicies([
        { key: 'control', value: { max_depth: 3 } },
        { key: 'approvals', value: { ...value }, expected_version },
      ])
    await expect(both({ expires_minutes: 0 }, approvals)).rejects.toMatchObject({
      code: 'OPS_011',
      message: expect.stringContaining('policy approvals: expires_minutes must be at least 1'),
    })
    await expect(both({ expires_minutes: 9 }, approvals + 1)).rejects.toMatchObject({ code: 'OPS_014' })
    await expect(both({ expires_minutes: 9 }, 0)).rejects.toMatchObject({ code: 'OPS_014' })
    expect([await versionOf('control'), await versionOf('approvals')]).toEqual([control, approvals])
  })

  test('of an unknown key are refused with the one that was meant', async () => {
    await expect(scene().engine.applyPolicies([{ key: 'aprovals', value: {} }])).rejects.toMatchObject({
      code: 'OPS_011',
      message: expect.stringContaining('did you mean "approvals"?'),
    })
  })

  test('that were in force at a moment can be told', async () => {
    const { engine, policy } = scene()
    const at = async () => {
      const [row] = await scene().sql<{ now: string }[]>`select to_json(ops.now()) #>> '{}' as now`
      return row?.now ?? ''
    }
    const value = async (moment: string) =>
      (await engine.policiesAt(moment)).find(({ key }) => key === 'agent_roles')?.value
    await policy('agent_roles', { a: {} })
    const first = await at()
    await policy('agent_roles', { b: {} })
    const second = await at()
    await scene().sql`delete from ops_policy where key = 'agent_roles'`
    expect([await value(first), await value(second), await value(await at())]).toEqual([
      { a: {} },
      { b: {} },
      undefined,
    ])
    expect(await engine.policiesAt('2000-01-01T00:00:00Z')).toEqual([])
  })

  test('and all else can be recorded for a simulation, in portions', async () => {
    const { engine } = scene()
    const type = unique('app:recorded')
    const [event] = await engine.emitEvents([{ type, data: { n: 1 } }])
    await engine.createProposal({
      source: 'api',
      template: { title: type, risk_level: 'low', steps: [{ kind: 'noop' }] },
    })
    const [from, to] = ['2000-01-01T00:00:00Z', '2100-01-01T00:00:00Z']
    const lines = (await engine.recording(from, to)) ?? []
    expect(lines).toContainEqual(
      expect.objectContaining({ kind: 'event', id: event?.event_id, type, data: { n: 1 }, verdict: null }),
    )
    expect(lines).toContainEqual(
      expect.objectContaining({
        kind: 'proposal',
        title: type,
        decision: expect.objectContaining({ decision: 'auto_approved' }),
        mission: expect.objectContaining({ steps: [expect.objectContaining({ kind: 'noop', runs: [] })] }),
      }),
    )
    expect(lines.map(({ kind }) => kind)).toContain('policy')
    expect(await engine.recording(from, to, 1)).toBeNull()
    expect(await engine.recording(to, to)).toEqual([])
  })
})
