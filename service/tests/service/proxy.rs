//! Behind pgbouncer in transaction mode, which has fewer connections to the database than the service to it.

use crate::support::pgbouncer::Pgbouncer;
use crate::support::world::API_KEY;
use crate::support::{Service, World, eventually, get_with, wait_for_status};

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
