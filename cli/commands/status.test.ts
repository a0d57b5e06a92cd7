import { expect, test } from 'vitest'
import { queueRows } from './status.js'

test('queues that were not counted to their end have a plus', () => {
  const queue = { running: 1, oldest_seconds: 7, live_workers: 2, blocked: false }
  const rest = { now: '', workers: [], expired_leases: 0, counted_up_to: 10_000 }
  const few = { executor: 'a', queued: 3, scheduled: 9_000, ...queue }
  expect(queueRows({ ...rest, executors: [few] })).toEqual([['a', '3', '7 s', '9000', '1', '2']])
  const many = { executor: 'b', queued: 10_000, scheduled: 1_000, ...queue }
  expect(queueRows({ ...rest, executors: [few, many] })).toEqual([
    ['a', '3', '7 s', '9000+', '1', '2'],
    ['b', '10000+', '7 s', '1000+', '1', '2'],
  ])
})
