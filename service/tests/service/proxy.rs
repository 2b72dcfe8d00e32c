//! Behind pgbouncer in transaction mode, which has fewer connections to the database than the service to it.

use crate::support::pgbouncer::Pgbouncer;
use crate::support::world::API_KEY;
use crate::support::{Client, Service, World, eventually, get_with, wait_for_status};

fn through(world: &World, proxy: &Pgbouncer) -> Service {
    world.start_with(&[("DATABASE_PORT", &proxy.port.to_string())]).ready()
}

#[test]
fn concurrent_payments_share_the_proxys_connections() {
    let world = World::new();
    let proxy = Pgbouncer::start(&world, 2);
    let service = through(&world, &proxy);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
                    assert_eq!(reply.status, 200, "{}\n{}", service.log_text(), proxy.log());
                }
            });
        }
    });
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "240");
    let connected = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", world.app);
    let connections: u32 = world.sql(&connected).parse().unwrap();
    assert!(connections <= 2, "{connections}");
    wait_for_status(&service, "/readyz", 200);
}

#[test]
fn a_payment_takes_two_transactions_and_two_round_trips() {
    const PAYMENTS: u64 = 400;
    let world = World::new();
    let proxy = Pgbouncer::start(&world, 4);
    let (_service, client) = Client::start(&world, &[("DATABASE_PORT", &proxy.port.to_string())]);
    let (transactions, queries) = proxy.counts();
    for _ in 0..PAYMENTS {
        assert_eq!(client.pay("pm_ok").status, 201);
    }
    let (transactions_after, queries_after) = proxy.counts();
    // Background tasks ask a few times per second. A third statement would add PAYMENTS.
    let allowed = 2 * PAYMENTS..2 * PAYMENTS + PAYMENTS / 2;
    assert!(allowed.contains(&(transactions_after - transactions)), "{}", transactions_after - transactions);
    assert!(allowed.contains(&(queries_after - queries)), "{}", queries_after - queries);
}

#[test]
fn payments_continue_after_a_password_rotation_behind_the_proxy() {
    let world = World::new();
    let proxy = Pgbouncer::start(&world, 2);
    let service = through(&world, &proxy);
    world.put_for_migrate("app", &world.app, "rotated-password");
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
    world.put("DB_PASSWORD", "rotated-password");
    let port = proxy.port;
    drop(proxy);
    let _proxy = Pgbouncer::start_at(&world, 2, port);
    eventually("payments go on", || {
        let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
        (reply.status == 200).then_some(())
    });
}
