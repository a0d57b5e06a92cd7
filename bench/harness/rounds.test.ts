import { expect, it } from 'vitest'
import { allInTurn, type Open } from './rounds.js'
import type { Context } from './types.js'

it('tells what it is at before each measurement, and measures all in turn, there and back', async () => {
  const told: string[] = []
  const none = () => Promise.reject(new Error('nobody needs it'))
  const context: Context = {
    quick: true,
    rounds: 2,
    logFile: '',
    emptyDatabase: none,
    ourDatabase: none,
    async contender(name) {
      if (name === 'absurd') throw new Error('not installed\nat all')
      const database = { url: '', adminUrl: '', drop: async () => {} }
      return {
        name,
        database,
        call: async () => JSON.parse('null'),
        stop: async () => {},
        pause() {},
        resume() {},
      }
    },
    log: (line) => told.push(line.trim()),
    at: (line) => told.push(line.trim()),
  }
  const measure = async (open: Open) => [(await open()).name.length]
  const subjects = await allInTurn(
    context,
    (['ops-loop', 'absurd', 'dbos'] as const).map((name) => ({ contender: name, names: [name], measure })),
  )
  expect(told).toEqual([
    'round 1 of 2: ops-loop …',
    'round 1: ops-loop 8',
    'round 1 of 2: absurd …',
    'absurd is missing: not installed',
    'round 1 of 2: dbos …',
    'round 1: dbos 4',
    'round 2 of 2: dbos …',
    'round 2: dbos 4',
    'round 2 of 2: ops-loop …',
    'round 2: ops-loop 8',
  ])
  expect(subjects).toEqual([
    { name: 'ops-loop', rounds: [8, 8], missing: undefined },
    { name: 'absurd', rounds: [], missing: 'not installed' },
    { name: 'dbos', rounds: [4, 4], missing: undefined },
  ])
})
