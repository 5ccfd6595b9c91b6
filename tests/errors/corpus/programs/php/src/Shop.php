<?php
// Prices, orders and what goes wrong with them.

namespace Shop;

class NotFound extends \RuntimeException {}
class PaymentFailed extends \RuntimeException {}
class Broken extends \LogicException {}

class Guard
{
    public static function that(bool $holds, string $message): void
    {
        if (!$holds) {
            throw new Broken($message);
        }
    }

    public static function must(?string $value, string $name): string
    {
        self::that($value !== null, "$name is missing");
        return $value;
    }
}

class Order
{
    public ?Address $address = null;

    public function __construct(public int $id)
    {
    }

    public function label(): string
    {
        return strtoupper($this->address->city());
    }
}

class Address
{
    public function city(): string
    {
        return 'Berlin';
    }
}

class Prices
{
    private const NET = ['mug' => 7, 'shirt' => 19];

    public static function unit(string $sku): int
    {
        $found = array_search($sku, array_keys(self::NET), true);
        return self::known($found === false ? null : $sku);
    }

    private static function known(string $sku): int
    {
        return self::NET[$sku];
    }

    public static function total(array $lines): int
    {
        return array_sum(array_map(fn ($line) => self::unit($line[0]) * $line[1], $lines));
    }

    public static function average(array $ratings): int
    {
        return intdiv(array_sum($ratings), count($ratings));
    }
}

class Orders
{
    public static function load(int $id, array $store): Order
    {
        if (!isset($store[$id])) {
            throw new NotFound("order $id does not exist");
        }
        return $store[$id];
    }

    public static function ship(int $id, array $store): string
    {
        return self::load($id, $store)->label();
    }

    public static function labels(array $orders): array
    {
        return array_map(fn (Order $order) => $order->label(), $orders);
    }

    public static function pay(int $order, callable $bank): void
    {
        try {
            $bank($order);
        } catch (\RuntimeException $error) {
            throw new PaymentFailed("order $order was not paid", 0, $error);
        }
    }

    public static function answer(string $text): array
    {
        return json_decode($text, true, 512, JSON_THROW_ON_ERROR);
    }

    public static function birthday(string $text): \DateTime
    {
        return new \DateTime($text);
    }

    public static function check(array $node, string $path): void
    {
        if (!isset($node['name'])) {
            throw new \InvalidArgumentException("node $path has no name");
        }
        foreach ($node['children'] ?? [] as $at => $child) {
            self::check($child, "$path/$at");
        }
    }

    public static function exported(array $ids, array $store): \Generator
    {
        foreach ($ids as $id) {
            yield self::ship($id, $store);
        }
    }

    public static function setWeight(int $kilos): int
    {
        Guard::that($kilos > 0, 'a weight must be positive');
        return $kilos;
    }

    public static function setQuantity(int $many): int
    {
        Guard::that($many < 100, 'at most 99 pieces');
        return $many;
    }

    public static function needStreet(array $form): string
    {
        return Guard::must($form['street'] ?? null, 'street');
    }

    public static function needCity(array $form): string
    {
        return Guard::must($form['city'] ?? null, 'city');
    }
}
