-- A beat every five minutes from the database itself, where Vercel's plan does not allow such a cron. Needs the extensions pg_cron and
-- pg_net (on Supabase: Database → Extensions). Run it once, with the address and CRON_SECRET of your deployment in place of the two
-- that are in angle brackets. `select * from cron.job_run_details` and `select * from net._http_response` say how it goes;
-- `select cron.unschedule('ops-heartbeat')` ends it.

select vault.create_secret('<cron-secret>', 'ops_cron_secret');

select cron.schedule('ops-heartbeat', '*/5 * * * *', $job$
  select net.http_post(
    url := 'https://<deployment>/api/ops/heartbeat',
    headers := jsonb_build_object('Authorization', 'Bearer ' ||
      (select decrypted_secret from vault.decrypted_secrets where name = 'ops_cron_secret')),
    -- As long as Vercel lets the function run.
    timeout_milliseconds := 60000)
$job$);
