import { z } from 'zod'
import { agentName, serviceSecret } from './fields.js'

const headerName = () =>
  z
    .string()
    .min(1)
    .max(100)
    .regex(/^[A-Za-z0-9-]+$/, 'must be the name of an HTTP header')

const breaker = z.strictObject({
  failures: z.int().min(1).max(100).default(3).describe('Failed checks in a row that open the breaker.'),
  reset_seconds: z
    .int()
    .min(1)
    .max(86_400)
    .default(60)
    .describe('Seconds until an open breaker tries again.'),
})

const service = z.strictObject({
  enabled: z.boolean().default(true).describe('Check this service.'),
  url: z
    .string()
    .max(2000)
    .regex(/^https?:\/\/[^ ]+$/, 'must be an http or https URL')
    .describe('The address that tells its health.'),
  method: z.enum(['GET', 'HEAD', 'POST']).default('GET').describe('The HTTP method.'),
  headers: z
    .record(headerName(), z.string().max(2000))
    .default({})
    .describe('Headers to send, in the clear.'),
  secret_headers: z
    .record(headerName(), serviceSecret())
    .default({})
    .describe(
      'Headers to send whose values are secret: each names the environment variable of the control plane that holds it. Its name begins with OPS_SERVICE_, so that no policy can send other secrets away.',
    ),
  expect_status: z
    .array(z.int().min(100).max(599))
    .min(1)
    .max(20)
    .default([200])
    .describe('Statuses that mean health.'),
  expect_json: z
    .record(z.string().min(1).max(200), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .default({})
    .describe('Values that the JSON answer must hold, by dotted path: {"database": "connected"}.'),
  timeout_ms: z.int().min(100).max(60_000).default(5000).describe('Milliseconds to wait for the answer.'),
  every_minutes: z.int().min(1).max(1440).default(5).describe('Minutes between two checks.'),
  breaker: breaker.prefault({}).describe('When executors stop calling this service for a while.'),
})

export type Service = z.output<typeof service>

export const servicesSchema = z
  .strictObject({
    services: z.record(agentName(), service).default({}).describe('The services, by name.'),
  })
  .describe('Services that the work depends on, and how to tell that they are well.')
