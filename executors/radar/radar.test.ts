import { describe, expect, it } from 'vitest'
import type { RadarStage } from '../../engine/types.js'
import type { ExecutorEngine } from '../define.js'
import { runExecutor } from '../testing.js'
import radar from './index.js'

const ID = '00000000-0000-4000-8000-00000000000a'
const STEP = '00000000-0000-4000-8000-000000000001'

function fakeRadar(before: RadarStage = 'watching') {
  const calls: unknown[][] = []
  const engine: ExecutorEngine = {
    async radarAdd(item, stepId) {
      calls.push(['add', item, stepId])
      return { id: ID, stage: item.stage ?? 'watching', created: true }
    },
    async radarUpdate(id, changes) {
      calls.push(['update', id, changes])
      return { id, stage: changes.stage ?? before, previous_stage: before }
    },
    async radarList(stage, limit) {
      calls.push(['list', stage, limit])
      return []
    },
  }
  return { engine, calls }
}

describe('radar', () => {
  it('adds an item under the step id and emits its stage', async () => {
    const { engine, calls } = fakeRadar()
    const { outcome, events } = await runExecutor(radar, { action: 'add', title: 'CSV export' }, { engine })
    expect(calls).toEqual([['add', { title: 'CSV export' }, STEP]])
    expect(outcome).toMatchObject({ outcome: 'done', result: { id: ID, stage: 'watching' } })
    expect(events).toEqual([
      {
        type: 'radar:watching',
        data: { radar_id: ID, title: 'CSV export', stage: 'watching' },
        dedupe_key: `radar:${STEP}`,
      },
    ])
  })

  it('emits the new stage when an update moves the item', async () => {
    const { engine, calls } = fakeRadar('watching')
    const { events } = await runExecutor(radar, { action: 'update', id: ID, stage: 'building' }, { engine })
    expect(calls).toEqual([['update', ID, { stage: 'building' }]])
    expect(events).toMatchObject([{ type: 'radar:building', dedupe_key: `radar:${STEP}` }])
  })

  it('emits nothing when an update leaves the stage as it was', async () => {
    const { engine } = fakeRadar('building')
    expect((await runExecutor(radar, { action: 'update', id: ID, notes: 'x' }, { engine })).events).toEqual(
      [],
    )
    expect(
      (await runExecutor(radar, { action: 'update', id: ID, stage: 'building' }, { engine })).events,
    ).toEqual([])
  })

  it('emits the stage on a repeated attempt, which finds it already changed', async () => {
    const { engine } = fakeRadar('building')
    const params = { action: 'update', id: ID, stage: 'building' }
    const { events } = await runExecutor(radar, params, { engine, attempt: 2 })
    expect(events).toMatchObject([{ type: 'radar:building' }])
  })

  it('lists items', async () => {
    const { engine, calls } = fakeRadar()
    const { outcome, events } = await runExecutor(
      radar,
      { action: 'list', stage: 'shipped', limit: 5 },
      { engine },
    )
    expect(calls).toEqual([['list', 'shipped', 5]])
    expect(outcome).toMatchObject({ outcome: 'done', result: { items: [] } })
    expect(events).toEqual([])
  })

  it.each([
    [{ action: 'remove' }, 'params.action'],
    [{ action: 'add' }, 'params.title'],
    [{ action: 'add', title: 'x', stage: 'sold' }, 'params.stage'],
    [{ action: 'update', id: 'x' }, 'params.id'],
    [{ action: 'list', limit: 0 }, 'params.limit'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(radar, params, fakeRadar())).rejects.toThrow(path)
  })
})
