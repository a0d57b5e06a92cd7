import { expect, it } from 'vitest'
import { inSlices } from './slices.js'
import type { Contender, ContenderName } from './types.js'

it('lets one go on at a time until all have done their work', async () => {
  const told: string[] = []
  const ends = new Map<ContenderName, () => void>()
  const contender = (name: ContenderName, turns: number): Contender => ({
    name,
    database: { url: '', adminUrl: '', drop: async () => {} },
    call: async () => JSON.parse('null'),
    pause: () => void told.push(`${name} stands`),
    resume() {
      told.push(`${name} goes on`)
      if (--turns === 0) ends.get(name)?.()
    },
    stop: async () => {},
  })
  const ms = await inSlices(
    [contender('ops-loop', 1), contender('dbos', 3)],
    ({ name }) => new Promise<void>((resolve) => ends.set(name, resolve)),
    10,
  )
  expect(told).toEqual([
    ...['ops-loop stands', 'dbos stands'],
    ...['ops-loop goes on', 'ops-loop stands'],
    ...['dbos goes on', 'dbos stands', 'dbos goes on', 'dbos stands', 'dbos goes on', 'dbos stands'],
  ])
  expect(ms).toHaveLength(2)
})

it('fails with the work of one', async () => {
  const contender: Contender = {
    name: 'ops-loop',
    database: { url: '', adminUrl: '', drop: async () => {} },
    call: async () => JSON.parse('null'),
    pause() {},
    resume() {},
    stop: async () => {},
  }
  await expect(inSlices([contender, contender], () => Promise.reject(new Error('no')), 10)).rejects.toThrow(
    'no',
  )
})
