import { expect, test } from 'vitest'
import type { ProcessEnd } from './processes.js'
import { type Service, supervise } from './supervisor.js'

/** A service that can be made to fall. */
function service(): Service & { fall(): void; stopped: boolean } {
  let end: (end: ProcessEnd) => void = () => undefined
  const ended = new Promise<ProcessEnd>((resolve) => {
    end = resolve
  })
  return {
    ended,
    stopped: false,
    fall: () => end({ code: 1, signal: null }),
    async stop() {
      this.stopped = true
      end({ code: 0, signal: null })
    },
  }
}

test('what falls is cleared away and started again, and said so', async () => {
  const [first, second] = [service(), service()]
  const said: string[] = []
  const runsAgain = new Promise<void>((resolve) => {
    const log = (line: string) => {
      said.push(line)
      if (/runs again/.test(line)) resolve()
    }
    supervise(first, { name: 'thing', again: async () => second, log })
  })
  first.fall()
  await runsAgain
  expect(first.stopped).toBe(true)
  expect(said).toEqual(['The thing has ended (exit code 1): starting it again', 'The thing runs again'])
})

test('a start that fails is tried again', async () => {
  const [first, second] = [service(), service()]
  let attempts = 0
  const said: string[] = []
  await new Promise<void>((resolve) => {
    supervise(first, {
      name: 'thing',
      async again() {
        attempts += 1
        if (attempts === 1) throw new Error('not yet')
        return second
      },
      log(line) {
        said.push(line)
        if (/runs again/.test(line)) resolve()
      },
    })
    first.fall()
  })
  expect(said).toContain('The thing does not start: not yet')
})

test('what is stopped is not started again', async () => {
  const first = service()
  const supervised = supervise(first, {
    name: 'thing',
    again: () => Promise.reject(new Error('never')),
    log: (line) => expect.unreachable(line),
  })
  await supervised.stop()
  expect(first.stopped).toBe(true)
})

test('a start under way when all is stopped is taken back', async () => {
  const [first, second] = [service(), service()]
  let finish: (service: Service) => void = () => undefined
  let begun = () => {}
  const starting = new Promise<void>((resolve) => {
    begun = resolve
  })
  const supervised = supervise(first, {
    name: 'thing',
    again: () =>
      new Promise<Service>((resolve) => {
        finish = resolve
        begun()
      }),
    log: () => undefined,
  })
  first.fall()
  await starting
  const stopped = supervised.stop()
  finish(second)
  await stopped
  expect(second.stopped).toBe(true)
})
