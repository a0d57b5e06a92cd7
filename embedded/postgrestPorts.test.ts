import { createServer } from 'node:net'
import { expect, test, vi } from 'vitest'
import { freshDatabase, startRest } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'

const taken = vi.hoisted(() => ({ port: 0, tried: 0 }))
vi.mock('./ports.js', async (original) => {
  const ports = await original<typeof import('./ports.js')>()
  // As if another program had taken the first port after the look.
  return { ...ports, freePort: async () => (taken.tried++ === 0 ? taken.port : ports.freePort()) }
})

test('a port that another program takes first is given up for a free one', async () => {
  const database = await freshDatabase()
  const stranger = createServer().listen(0, '127.0.0.1')
  onFileEnd(async () => void stranger.close())
  await new Promise((resolve) => stranger.once('listening', resolve))
  const address = stranger.address()
  taken.port = typeof address === 'object' && address ? address.port : 0

  const rest = await startRest(database)
  expect(taken.tried).toBeGreaterThan(3)
  const answer = await fetch(`${rest.url}/rest/v1/ops_policy?select=key`, {
    headers: { apikey: rest.serviceKey },
  })
  expect(answer.status).toBe(200)
})
