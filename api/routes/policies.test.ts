import { expect, test } from 'vitest'
import { z } from 'zod'
import { testApi } from '../testing.js'

const { call, policy } = await testApi()
const versioned = z.object({ version: z.int() })

test('policies are listed and shown', async () => {
  await policy('control', { pause: { claims: true } })
  expect(await call('GET', '/api/ops/policies')).toMatchObject({
    status: 200,
    body: {
      items: expect.arrayContaining([
        expect.objectContaining({ key: 'control', version: expect.any(Number) }),
      ]),
    },
  })
  expect(await call('GET', '/api/ops/policies/control')).toMatchObject({
    status: 200,
    body: { key: 'control', value: { pause: { claims: true } } },
  })
  expect(await call('GET', '/api/ops/policies/unheard-of')).toMatchObject({
    status: 404,
    body: { code: 'OPS_013' },
  })
})

test('a rollback brings an earlier version back as the newest', async () => {
  await policy('proposal_caps', { daily_limit: 7 })
  const { version } = versioned.parse((await call('GET', '/api/ops/policies/proposal_caps')).body)
  await policy('proposal_caps', { daily_limit: 8 })
  const answer = await call('POST', '/api/ops/policies/proposal_caps/rollback', { version })
  expect(answer).toMatchObject({ status: 200, body: { key: 'proposal_caps', version: version + 2 } })
  expect(await call('GET', '/api/ops/policies/proposal_caps')).toMatchObject({
    body: { value: { daily_limit: 7 }, version: version + 2 },
  })
})

test('a version that never was is not found, an odd one is invalid', async () => {
  const path = '/api/ops/policies/proposal_caps/rollback'
  expect(await call('POST', path, { version: 9999 })).toMatchObject({
    status: 404,
    body: { code: 'OPS_013' },
  })
  expect(await call('POST', path, { version: 0 })).toMatchObject({
    status: 422,
    body: { details: { path: 'version' } },
  })
  expect(await call('POST', path, {})).toMatchObject({ status: 422, body: { details: { path: 'version' } } })
})
