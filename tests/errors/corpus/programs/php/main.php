<?php
// Runs each mistake in several ways and sends it with sentry-php; the tag `corpus` is its label.

require getenv('CLIENT');
require __DIR__ . '/src/Shop.php';

use Shop\Order;
use Shop\Orders;
use Shop\Prices;

$n = (int) getenv('ROUND');
\Sentry\init([
    'dsn' => getenv('DSN'),
    'release' => getenv('RELEASE'),
    'prefixes' => [__DIR__],
    'in_app_exclude' => [dirname(getenv('CLIENT'))],
    'default_integrations' => false,
]);

function caught(string $label, callable $run): void
{
    \Sentry\withScope(function (\Sentry\State\Scope $scope) use ($label, $run): void {
        $scope->setTag('corpus', $label);
        try {
            $run();
        } catch (\Throwable $error) {
            \Sentry\captureException($error);
            return;
        }
        exit("$label did not fail");
    });
}

function nested(int $levels): array
{
    $node = ['id' => $levels];
    for ($level = 0; $level < $levels; $level++) {
        $node = ['name' => "n$level", 'children' => [['name' => 'ok'], $node]];
    }
    return $node;
}

function bank(int $order): void
{
    throw new RuntimeException("the bank refused order $order");
}

$store = [1 => new Order(1), 2 => new Order(2)];
$sku = 'gadget-' . bin2hex(random_bytes(4));
caught('php-price-missing', fn () => Prices::unit($sku));
caught('php-price-missing', fn () => Prices::total([['mug', 1], [$sku, $n]]));
caught('php-no-address', fn () => Orders::ship(1 + $n % 2, $store));
caught('php-no-address', fn () => Orders::labels([$store[2]]));
caught('php-no-address', fn () => iterator_to_array(Orders::exported([1, 2], $store)));
caught('php-order-unknown', fn () => Orders::ship(900 + $n, $store));
caught('php-order-unknown', fn () => Orders::load(50 + $n, []));
caught('php-order-unknown', fn () => array_map(fn ($id) => Orders::ship($id, []), [70 + $n]));
caught('php-average', fn () => Prices::average([]));
caught('php-average', fn () => array_map([Prices::class, 'average'], [[]]));
caught('php-pay', fn () => Orders::pay(3000 + $n, 'bank'));
caught('php-pay', fn () => array_map(fn ($order) => Orders::pay($order, 'bank'), [4000 + $n]));
caught('php-answer', fn () => Orders::answer("<html>$n"));
caught('php-answer', fn () => Orders::answer('{' . str_repeat(' ', $n) . 'oops'));
caught('php-birthday', fn () => Orders::birthday("no date $n"));
caught('php-birthday', fn () => array_map([Orders::class, 'birthday'], ['19' . (70 + $n) . '-77-77']));
caught('php-nameless', fn () => Orders::check(nested(1 + 2 * $n), ''));
caught('php-guard-weight', fn () => Orders::setWeight(-$n));
caught('php-guard-quantity', fn () => Orders::setQuantity(100 + $n));
caught('php-guard-street', fn () => Orders::needStreet(['n' => $n]));
caught('php-guard-city', fn () => Orders::needCity(['n' => $n]));
caught('php-type', fn () => strlen([]));
caught('php-type', fn () => (fn () => strlen([$n]))());
foreach ([
    ['php-msg-slow', 'query took ' . ($n * 317 + 1000) . ' ms'],
    ['php-msg-lost', 'lost connection to 127.0.0.1:' . (7000 + $n)],
    ['php-msg-session', 'session ' . bin2hex(random_bytes(16)) . ' expired'],
] as [$label, $text]) {
    \Sentry\withScope(function (\Sentry\State\Scope $scope) use ($label, $text): void {
        $scope->setTag('corpus', $label);
        \Sentry\captureMessage($text);
    });
}
\Sentry\SentrySdk::getCurrentHub()->getClient()?->flush();
